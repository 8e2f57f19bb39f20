"""What a user may have meant by a parameter that scikit-learn's table of values refuses."""

from numbers import Real

import numpy as np
import torch
from sklearn.base import is_regressor

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
    for name in ("loss", "activation"):
        value = getattr(estimator, name)
        known = _ELSEWHERE.get(value) if isinstance(value, str) else None
        if known is not None:
            return f" Did you mean {name}={known!r}?"
        if isinstance(value, str) and value.lower() != value:
            return f" Did you mean {name}={value.lower()!r}?"
    if isinstance(solver, str) and hasattr(torch.optim, solver):
        own = solver.lower() if solver.lower() in ("sgd", "adam", "adamw", "lbfgs") else None
        return f" Did you mean solver={own!r}?" if own else f" Write solver=torch.optim.{solver}."
    if isinstance(rate, Real):
        return f" learning_rate is the schedule; did you mean learning_rate_init={rate!r}?"
    return ""
