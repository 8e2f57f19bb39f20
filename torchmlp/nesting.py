"""The estimator inside pipelines, searches and regressors of transformed targets."""

from dataclasses import dataclass
from typing import Any

from sklearn.base import MetaEstimatorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


@dataclass(frozen=True)
class Nested:
    """An estimator, and what is around it.

    Attributes
    ----------
    estimator : estimator
        The innermost one.
    steps : list of transformers
        What X goes through before it.
    target_transformers : list of transformers
        What y goes through before it, in this order. Their inverses, in the opposite order, turn
        its predictions into values of y.
    """

    estimator: Any
    steps: list
    target_transformers: list


def unwrap(estimator):
    """Return the estimator inside whatever is around it.

    Parameters
    ----------
    estimator : estimator
        A Pipeline, a search, a TransformedTargetRegressor, or any other estimator.

    Returns
    -------
    Nested

    Raises
    ------
    NotFittedError
        If something around the estimator is not fitted, or a search has ``refit=False``.
    """
    steps, target_transformers = [], []
    while True:
        if isinstance(estimator, MetaEstimatorMixin) and hasattr(estimator, "refit"):
            remedy = "This %(name)s has no best_estimator_. Call 'fit' first, with refit=True."
            check_is_fitted(estimator, "best_estimator_", msg=remedy)
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            check_is_fitted(estimator)
            if len(estimator) > 1:
                steps.append(estimator[:-1])
            estimator = estimator[-1]
        elif isinstance(estimator, TransformedTargetRegressor):
            check_is_fitted(estimator)
            target_transformers.append(estimator.transformer_)
            estimator = estimator.regressor_
        else:
            return Nested(estimator, steps, target_transformers)
