"""The validation split and the validation score for early stopping."""

import contextlib
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from torchmlp._sklearn_compat import takes_weights
from torchmlp.training.batches import Dataset
from torchmlp.validation import check_any_weight


def split(data, stratify, fraction, random_state, inverse_transform):
    """Split the data into a training and a validation set, as scikit-learn does.

    Parameters
    ----------
    data : Dataset
    stratify : array of shape (n_samples,) or None
        The class labels for a stratified split, or None for a random split.
    fraction : float
        Fraction of the samples in the validation set.
    random_state : numpy.random.RandomState
    inverse_transform : callable (ndarray) -> ndarray
        Converts class codes to labels, for errors.

    Returns
    -------
    training, validation : Dataset

    Raises
    ------
    ValueError
        If one of the sets is too small, lacks a class, or has only zero weights.
    """
    train, held_out = np.empty((2, 0), dtype=int)
    if len(data) > 1 and fraction > 0:
        try:
            train, held_out = train_test_split(
                np.arange(len(data)),
                random_state=random_state,
                test_size=fraction,
                stratify=stratify,
            )
        except ValueError as error:
            single = _single_classes(stratify, inverse_transform)
            reason = (
                # scikit-learn's words, with labels instead of class codes
                "The least populated class in y has only 1 member: y has a single sample of each "
                f"of the classes {single}"
                if single
                else str(error).rstrip(".")
            )
            raise ValueError(
                f"early_stopping=True needs samples of each class in both parts of the split: "
                f"{reason}. Add samples, change validation_fraction={fraction}, or "
                "set early_stopping=False."
            ) from error
    if len(held_out) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            f"dataset. Got validation_fraction={fraction} for {len(data)} samples."
        )
    weights = data.sample_weight
    if weights is not None:
        check_any_weight(weights[train])
        check_any_weight(weights[held_out])
    held_out_weights = None if weights is None else weights[held_out]
    validation = Dataset(data.X[held_out], data.y[held_out], held_out_weights)
    return Dataset(data.X, data.y, weights, train), validation


def _single_classes(codes, inverse_transform):
    """Return the labels of the classes with a single sample."""
    if codes is None:
        return []
    found, counts = np.unique(codes, return_counts=True)
    return inverse_transform(found[counts == 1][:, None]).tolist()


class Score:
    """Base class of the validation scores. See `FitInputs.score`.

    Attributes
    ----------
    stack_key : hashable
        Equal for scores that `of_stack` computes for a whole stack of networks. None if there is no
        `of_stack`: each network is trained alone, in the thread of its fit.
    """

    stack_key: Any = None

    def __call__(self, raw, loss, model):
        """Return the score of a network."""
        raise NotImplementedError

    def of_stack(self, y, raw, sample_weight, losses):
        """Return the score of each network of a stack.

        Parameters
        ----------
        y : ndarray of shape (n_members, n_rows, n_outputs), or (n_members, n_rows, 1)
        raw : ndarray of shape (n_members, n_rows, n_outputs)
        sample_weight : ndarray of shape (n_members, n_rows) or None
        losses : ndarray of shape (n_members,)
        """
        raise NotImplementedError


class DefaultScore(Score):
    """The accuracy of a classifier, or R² of a regressor.

    Parameters
    ----------
    encoder : ClassEncoder or ValueEncoder
    y : ndarray
        Encoded targets of the validation data.
    sample_weight : ndarray or None
    """

    def __init__(self, encoder, y, sample_weight):
        self.encoder = encoder
        self.y = y
        self.sample_weight = sample_weight
        self.stack_key = encoder.score_key

    def __call__(self, raw, loss, model):
        return float(self.encoder.score(self.y, raw, self.sample_weight))

    def of_stack(self, y, raw, sample_weight, losses):
        return self.encoder.score(y, raw, sample_weight)


class NegativeLoss(Score):
    """The negative loss."""

    stack_key = "loss"

    def __call__(self, raw, loss, model):
        return -loss

    def of_stack(self, y, raw, sample_weight, losses):
        return -losses


class ScorerOutput(Score):
    """The score that a scorer of scikit-learn returns.

    Parameters
    ----------
    estimator : BaseTorchMLP
        Its parameter `scoring` is the scorer.
    X, targets : ndarray
        Validation data, with the targets as they were passed to `fit`.
    sample_weight : ndarray or None
    """

    def __init__(self, estimator, X, targets, sample_weight):
        self.scoring = estimator.scoring
        self.scorer = check_scoring(estimator, estimator.scoring)
        self.X = X
        self.targets = targets
        weighted = sample_weight is not None and takes_weights(self.scorer)
        self.options = {"sample_weight": sample_weight} if weighted else {}

    def __call__(self, raw, loss, model):
        fitted = model()
        try:
            value = self.scorer(fitted, self.X, self.targets, **self.options)
        except Exception as error:
            raise ValueError(
                f"scoring={self.scoring!r} failed on the validation data: "
                f"{type(error).__name__}: {str(error).rstrip('.')}. It is called as "
                "scoring(estimator, X, y)."
            ) from error
        return _as_number(value, self.scoring)


def score_to_monitor(estimator, encoder, validation):
    """Return `FitInputs.score`, which computes the validation score.

    Parameters
    ----------
    estimator : BaseTorchMLP
        Its parameter `scoring` defines the score.
    encoder : ClassEncoder or ValueEncoder
    validation : Dataset
    """
    sample_weight = validation.sample_weight
    if estimator.scoring is None:
        return DefaultScore(encoder, validation.y, sample_weight)
    if estimator.scoring == "loss":
        return NegativeLoss()
    targets = encoder.inverse_transform(validation.original_y)
    return ScorerOutput(estimator, validation.X, targets, sample_weight)


def _as_number(score, scoring):
    if not isinstance(score, str) and np.ndim(score) == 0:
        with contextlib.suppress(TypeError, ValueError):
            return float(score)
    raise ValueError(
        f"scoring={scoring!r} must return a number that is larger for a better model, got "
        f"{score!r} of type {type(score).__name__}."
    )
