"""Conversion of fitted estimators to torch modules, and to and from scikit-learn estimators."""

import copy
from typing import Any, Literal, Self

import numpy as np
import sklearn
import torch
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import check_is_fitted
from torch import nn

from torchmlp._sklearn_compat import accepts, private_state, set_private_state
from torchmlp.constraints import uses_lbfgs
from torchmlp.encoding import ClassEncoder, ValueEncoder
from torchmlp.fitted_attributes import UNDEFINED_FOR_LBFGS, fitted_attributes, progress_of
from torchmlp.training.activations import Apply, per_layer, resolve_activations
from torchmlp.training.output_activations import OUTPUT_ACTIVATIONS

_OURS_ONLY = ("validation_loss_curve_", "n_parameters_", "device_")


def both_probabilities(probability):
    """Return the columns (1 - p, p)."""
    return torch.cat([1 - probability, probability], dim=1)


class ExportMixin:
    """Conversion methods of both estimators."""

    def to_torch(self, *, output: Literal["prediction", "logits"] = "prediction") -> nn.Sequential:
        """Return the network as a torch module, with a copy of the weights.

        Parameters
        ----------
        output : {'prediction', 'logits'}, default='prediction'
            The output of the module for a tensor of shape (n_samples, n_features) in the dtype of
            the weights.

            - 'prediction', in the same shapes as the method: `predict` of a regressor,
              `predict_proba` of a classifier, or its `decision_function` if it has no
              probabilities
            - 'logits', the outputs of the last linear layer, of shape (n_samples, n_outputs):
              those before softmax, sigmoid or, with the losses 'poisson' and 'gamma', the
              exponential function, and before several quantiles are sorted. With the loss
              'gaussian', they are the mean of each target and then the logarithm of each variance:
              ``(logits[:, n_targets:] / 2).exp()`` is the standard deviation. It is the form for
              further training (for example with ``torch.nn.CrossEntropyLoss``, or
              ``BCEWithLogitsLoss`` for two classes) and for attributions with captum or shap, whose
              GradientExplainer needs ``.float()``. Two classes have one output, the log-odds of
              ``classes_[1]``.

        Returns
        -------
        torch.nn.Sequential
            In evaluation mode.

        Raises
        ------
        ValueError
            If `output` has another value.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.to_torch()
        Sequential(
          (0): Linear(in_features=4, out_features=5, bias=True)
          (1): ReLU()
          (2): Linear(in_features=5, out_features=3, bias=True)
          (3): Softmax(dim=1)
        )
        >>> network = clf.to_torch(output="logits")
        >>> network[-1]
        Linear(in_features=5, out_features=3, bias=True)
        >>> loss = torch.nn.CrossEntropyLoss()(network(torch.tensor(X)), torch.tensor(y))
        """
        check_is_fitted(self)
        if not isinstance(output, str) or output not in ("prediction", "logits"):
            raise ValueError(f"output={output!r} is unknown. Use 'prediction' or 'logits'.")
        n_hidden = len(self.coefs_) - 1
        modules: list[nn.Module] = [_linear(self.coefs_[0], self.intercepts_[0])]
        for activation, dropout, coefs, intercepts in zip(
            resolve_activations(self.activation, n_hidden),
            per_layer(self.dropout, n_hidden),
            self.coefs_[1:],
            self.intercepts_[1:],
            strict=True,
        ):
            modules.append(activation.module())
            if dropout:
                modules.append(nn.Dropout(float(dropout)))
            modules.append(_linear(coefs, intercepts))
        if output == "prediction":
            modules += self._output_modules()
        return nn.Sequential(*modules).eval()

    def _output_modules(self):
        """Return the modules between the last linear layer and the prediction."""
        modules = [make() for make in OUTPUT_ACTIVATIONS[self.out_activation_].modules]
        if not is_classifier(self):
            return modules + self._encoder.modules(self.n_outputs_)
        if self.n_outputs_ > 1:
            return modules
        if self.out_activation_ == "logistic":
            return [*modules, Apply(both_probabilities)]
        return [*modules, nn.Flatten(0)]

    def to_sklearn(self) -> MLPClassifier | MLPRegressor:
        """Return the model as scikit-learn's estimator, with a copy of the weights.

        Parameters and values that the scikit-learn class does not support are replaced by its
        defaults. They only matter for training.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            A fitted estimator with the same predictions.

        Raises
        ------
        ValueError
            If scikit-learn has no such activation or loss.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> ours = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> (ours.to_sklearn().predict(X) == ours.predict(X)).all()
        np.True_
        """
        check_is_fitted(self)
        theirs: Any = MLPClassifier() if is_classifier(self) else MLPRegressor()
        for name in ("activation", "loss"):
            value = getattr(self, name)
            # The loss of MLPClassifier is an attribute, but not a parameter.
            if not (accepts(theirs, name, value) or value == getattr(theirs, name)):
                raise ValueError(
                    f"{name}={value!r} has no counterpart in the {type(theirs).__name__} of "
                    f"scikit-learn {sklearn.__version__}. Use to_torch() instead."
                )
        for name, value in self.get_params().items():
            if accepts(theirs, name, value):
                theirs.set_params(**{name: value})
        _copy_fitted(self, theirs)
        set_private_state(theirs, self._no_improvement_count, self._encoder.binarizer)
        return theirs

    @classmethod
    def from_sklearn(cls, model: MLPClassifier | MLPRegressor) -> Self:
        """Create an estimator from a fitted scikit-learn estimator, with a copy of the weights.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor
            A fitted classifier for TorchMLPClassifier, a fitted regressor for TorchMLPRegressor.

        Returns
        -------
        TorchMLPClassifier or TorchMLPRegressor
            A fitted estimator with the same predictions.

        Raises
        ------
        TypeError
            If `model` is an instance of another class.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neural_network import MLPClassifier
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> theirs = MLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> ours = TorchMLPClassifier.from_sklearn(theirs)
        >>> (ours.predict(X) == theirs.predict(X)).all()
        np.True_
        """
        ours = cls()
        wanted = MLPClassifier if is_classifier(ours) else MLPRegressor
        if not isinstance(model, wanted):
            raise TypeError(
                f"{cls.__name__}.from_sklearn takes a fitted {wanted.__name__}, got "
                f"model={model!r}."
            )
        check_is_fitted(model)
        ours.set_params(**model.get_params())
        _copy_fitted(model, ours)
        ours._no_improvement_count, binarizer = private_state(model)
        if binarizer is None:
            encoder: Any = ValueEncoder(ours.out_activation_)
        else:
            encoder = ClassEncoder(binarizer)
        progress = progress_of(ours)
        for loss in progress.loss_curve:
            progress.begin_epoch()
            progress.record_loss("train_loss", float(loss))
        arrays = ours.coefs_, ours.intercepts_
        attributes = fitted_attributes(*arrays, ours.out_activation_, "cpu", encoder, progress)
        if uses_lbfgs(model):
            for name in ("loss_curve_", *UNDEFINED_FOR_LBFGS):
                del attributes[name]
        vars(ours).update(attributes, _saved_state=None)
        return ours


class MeanOfNetworks(nn.Module):
    """The raw outputs for the mean of the predictions of several networks.

    Parameters
    ----------
    networks : iterable of torch.nn.Module
        Networks that return raw outputs.
    out_activation : str
        Output activation of the networks. See `OutputActivation.mean`.
    """

    def __init__(self, networks, out_activation):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.out_activation = out_activation

    def forward(self, X):
        """Return the raw outputs for X, of shape (n_samples, n_features)."""
        raw = torch.stack([network(X) for network in self.networks])
        return OUTPUT_ACTIVATIONS[self.out_activation].mean(raw)


class EnsembleExportMixin:
    """Conversion method of the ensembles."""

    def to_torch(self) -> nn.Sequential:
        """Return the ensemble as a torch module, with a copy of the weights.

        Returns
        -------
        torch.nn.Sequential
            In evaluation mode. Its output is that of `predict` of a regressor, `predict_proba` of a
            classifier, or its `decision_function` if it has no probabilities.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> from torchmlp.ensemble import WeightSharingClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> mlp = TorchMLPClassifier(
        ...     (20,), learning_rate="one_cycle", learning_rate_init=0.05, max_iter=50,
        ...     random_state=0,
        ... )
        >>> ensemble = WeightSharingClassifier(mlp, n_estimators=4).fit(X, y)
        >>> probabilities = ensemble.to_torch()(torch.tensor(X))
        >>> bool(torch.allclose(probabilities, torch.tensor(ensemble.predict_proba(X))))
        True
        """
        check_is_fitted(self)
        networks = [member.to_torch(output="logits") for member in self.estimators_]
        mean = MeanOfNetworks(networks, self.out_activation_)
        return nn.Sequential(mean, *self.estimators_[0]._output_modules()).eval()


def _linear(coefs, intercepts):
    layer = nn.utils.skip_init(nn.Linear, *coefs.shape)
    layer.weight = nn.Parameter(torch.from_numpy(np.array(coefs.T)))
    layer.bias = nn.Parameter(torch.from_numpy(np.array(intercepts)))
    return layer


def _copy_fitted(source, target):
    """Copy the fitted attributes that the estimators of both libraries have."""
    for name, value in vars(source).items():
        if name.endswith("_") and not name.startswith("_") and name not in _OURS_ONLY:
            setattr(target, name, copy.deepcopy(value))
    target.coefs_ = [np.array(coefs) for coefs in source.coefs_]
    target.intercepts_ = [np.array(intercepts) for intercepts in source.intercepts_]
