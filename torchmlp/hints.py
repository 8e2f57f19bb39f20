"""What a user may have meant by a parameter that scikit-learn's table of values refuses."""

from numbers import Real

import numpy as np
import torch
from sklearn.base import is_regressor

from torchmlp.validation import accepts

_ELSEWHERE = {
    "mse": "squared_error",
    "mae": "absolute_error",
    "pinball": "quantile",
    "cross_entropy": "log_loss",
    "sigmoid": "logistic",
    "linear": "identity",
    "swish": "silu",
}


def hint(estimator):
    """Return a sentence on the first value that others would name so, or an empty string.

    Parameters
    ----------
    estimator : BaseTorchMLP
        With a parameter that is not valid.
    """
    loss, solver, rate = estimator.loss, estimator.solver, estimator.learning_rate
    if is_regressor(estimator) and (np.ndim(loss) or isinstance(loss, Real)):
        return (
            f" The first parameter of {type(estimator).__name__} is the loss, as in scikit-learn: "
            f"write hidden_layer_sizes={loss!r}."
        )
    for name in ("loss", "activation", "solver"):
        value = getattr(estimator, name)
        if not isinstance(value, str) or accepts(estimator, name, value):
            continue
        meant = _ELSEWHERE.get(value.lower(), value.lower())
        if accepts(estimator, name, meant):
            return f" Did you mean {name}={meant!r}?"
    if isinstance(solver, str) and isinstance(getattr(torch.optim, solver, None), type):
        return (
            "" if accepts(estimator, "solver", solver) else f" Write solver=torch.optim.{solver}."
        )
    if isinstance(rate, Real):
        return f" learning_rate is the schedule; did you mean learning_rate_init={rate!r}?"
    return ""
