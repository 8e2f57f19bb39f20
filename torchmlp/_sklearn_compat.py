"""Private API of scikit-learn that torchmlp uses, and substitutes for what older versions lack.

Other modules do not import private names.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from importlib.metadata import metadata
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import sklearn
from sklearn.base import _fit_context
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import _array_api, metaestimators
from sklearn.utils._array_api import get_namespace_and_device
from sklearn.utils._param_validation import Interval, Options, StrOptions, make_constraint
from sklearn.utils.multiclass import _check_partial_fit_first_call as is_first_partial_fit
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight
from sklearn.utils.validation import _check_y as check_y

__all__ = [
    "CLASSIFIER_CONSTRAINTS",
    "REGRESSOR_CONSTRAINTS",
    "CallbackSupportMixin",
    "DocumentationLink",
    "Interval",
    "Method",
    "Options",
    "ParameterChecks",
    "StrOptions",
    "accepts",
    "available_if",
    "begin_callbacks",
    "check_feature_names_in",
    "check_lbfgs_result",
    "check_sample_weight",
    "check_y",
    "fit_context",
    "get_namespace_and_device",
    "has_callbacks",
    "is_first_partial_fit",
    "move_to",
    "private_state",
    "set_private_state",
    "takes_weights",
]

try:
    from sklearn.callback import CallbackSupportMixin
except ModuleNotFoundError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Raises an error that names the required version of scikit-learn."""

        @property
        def set_callbacks(self) -> Any:
            """Not available."""
            raise AttributeError(
                "set_callbacks requires scikit-learn 1.9 or newer, but the installed version is "
                f"{sklearn.__version__}. Upgrade scikit-learn, or pass callbacks of skorch to the "
                "parameter callbacks."
            )


Method = TypeVar("Method", bound=Callable[..., Any])

fit_context: Callable[[Method], Method] = _fit_context(prefer_skip_nested_validation=True)
CLASSIFIER_CONSTRAINTS = MLPClassifier._parameter_constraints
REGRESSOR_CONSTRAINTS = MLPRegressor._parameter_constraints


class ParameterChecks:
    """Mixin that stores the parameters of the constructor and validates them in `fit`.

    `fit_context` calls `_validate_params`, which checks the parameters against the class attribute
    `_parameter_constraints`.
    """

    def _store(self, parameters):
        """Store the constructor's parameters unmodified.

        Parameters
        ----------
        parameters : dict
            The local variables of `__init__`.
        """
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    def _suggestion(self):
        """Return a sentence that is appended to the error for an invalid parameter."""
        return ""

    def _validate_params(self):
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, Real) and not self._can_compare(name, value):
                raise ValueError(
                    f"The {name!r} parameter of {type(self).__name__} must be a number of Python "
                    f"or NumPy, in the range of float64. Got {value!r} instead."
                )
        try:
            super()._validate_params()
        except ValueError as error:
            raise type(error)(f"{error}{self._suggestion()}") from None

    def _can_compare(self, name, value):
        """Return whether scikit-learn can check a number, which it converts with NumPy."""
        if not isinstance(value, (int, float, np.number, np.bool_)):
            return False  # for example a Fraction
        constraints = self._parameter_constraints.get(name, [])
        if not any(isinstance(c, Interval) and c.type is Real for c in constraints):
            return True
        try:
            float(value)
        except OverflowError:
            return False
        return True


@functools.cache
def _documentation_url():
    """Return the address of the documentation in the metadata of the package, or ""."""
    urls = metadata("torchmlp").get_all("Project-URL", [])
    return dict(url.split(", ", 1) for url in urls).get("Documentation", "")


class DocumentationLink:
    """Mixin that links the HTML representation of an estimator to its page of the documentation."""

    _doc_link_module = "torchmlp"

    @property
    def _doc_link_template(self):
        url = _documentation_url()
        return url and url + "/api/generated/{public_name}.html"

    def _doc_link_url_param_generator(self):
        """Return the name of the page: the class, in the first package that exports it."""
        cls = type(self)
        parts = cls.__module__.split(".")
        packages = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        exported = (p for p in packages if getattr(sys.modules[p], cls.__name__, None) is cls)
        return {"public_name": f"{next(exported, cls.__module__)}.{cls.__name__}"}


def accepts(estimator, name, value):
    """Return whether an estimator class has this parameter and accepts this value."""
    constraints = type(estimator)._parameter_constraints.get(name, [])
    return any(make_constraint(constraint).is_satisfied_by(value) for constraint in constraints)


def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]:
    """Return scikit-learn's `available_if`, which keeps the signature for type checkers."""
    return metaestimators.available_if(check)


def move_to(array, *, xp, device):
    """Convert an array to the namespace `xp` on a device. Memory is shared if possible."""
    if hasattr(_array_api, "move_to"):
        return _array_api.move_to(array, xp=xp, device=device)
    if xp is np:  # scikit-learn < 1.8
        return _array_api._convert_to_numpy(array, get_namespace_and_device(array)[0])
    return xp.asarray(array, device=device)


def takes_weights(scorer):
    """Return whether a scorer object or a scoring function accepts `sample_weight`."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    function = getattr(scorer, "_score_func", scorer)  # of a scorer of scikit-learn < 1.7
    return "sample_weight" in inspect.signature(function).parameters


def check_sample_weight(sample_weight, X):
    """Return sample weights as an array of float64. All of them may be zero."""
    # scikit-learn < 1.9 accepts weights that are all zero, and has no parameter for them.
    known = inspect.signature(_check_sample_weight).parameters
    options = {"allow_all_zero_weights": True} if "allow_all_zero_weights" in known else {}
    return _check_sample_weight(sample_weight, X, dtype=np.float64, **options)


def check_lbfgs_result(result, max_iter):
    """Warn if L-BFGS did not converge, with the message of scikit-learn."""
    _check_optimize_result("lbfgs", result, max_iter)


def has_callbacks(estimator):
    """Return whether callbacks of scikit-learn were set with `set_callbacks`."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def begin_callbacks(estimator, max_subtasks):
    """Return the callback context of one fit, or None if the estimator has no callbacks."""
    if not hasattr(estimator, "_skl_callbacks"):
        return None
    return estimator._init_callback_context(max_subtasks=max_subtasks)


def private_state(mlp):
    """Return the private fitted attributes of a scikit-learn MLP.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor

    Returns
    -------
    no_improvement_count : int
    label_binarizer : LabelBinarizer or None
        None for a regressor.
    """
    count = getattr(mlp, "_no_improvement_count", 0)
    return count, getattr(mlp, "_label_binarizer", None)


def set_private_state(mlp, no_improvement_count, label_binarizer):
    """Set the attributes that `private_state` returns."""
    mlp._no_improvement_count = no_improvement_count
    if label_binarizer is not None:
        mlp._label_binarizer = label_binarizer
