"""Unwrap the estimator inside a Pipeline, search or TransformedTargetRegressor."""

from dataclasses import dataclass
from typing import Any

from sklearn.base import MetaEstimatorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


@dataclass(frozen=True)
class Nested:
    """The innermost estimator, and the transformers applied before it.

    Attributes
    ----------
    estimator : estimator
        The innermost estimator.
    steps : list of transformers
        Transformers of X, in the order of their application.
    target_transformers : list of transformers
        Transformers of y, in the order of their application. To transform predictions to the units
        of y, apply their inverses in reverse order.
    """

    estimator: Any
    steps: list
    target_transformers: list


def unwrap(estimator):
    """Return the innermost estimator, and the transformers applied before it.

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
        If a meta-estimator is not fitted, or a search has ``refit=False``.
    """
    steps, target_transformers = [], []
    while True:
        if isinstance(estimator, MetaEstimatorMixin) and hasattr(estimator, "refit"):
            message = "This %(name)s has no best_estimator_. Call 'fit' first, with refit=True."
            check_is_fitted(estimator, "best_estimator_", msg=message)
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
