"""Strategies of hypothesis: parameters of the estimators, and data sets."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
ACTIVATIONS = st.sampled_from(["relu", "identity", "logistic", "tanh"])
SOLVERS = st.sampled_from(["adam", "sgd", "lbfgs"])
LAYERS = st.one_of(
    st.lists(st.integers(1, 9), max_size=3).map(tuple),
    st.lists(st.integers(1, 9), min_size=1, max_size=2),
    st.lists(st.integers(1, 9), min_size=1, max_size=2).map(np.array),
    st.integers(1, 20),
    st.integers(1, 5).map(np.int64),
)
CONTAINERS = {
    "array": np.asarray,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "list": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]),
    "csr": sp.csr_array,
    "csc": sp.csc_matrix,
    "coo": sp.coo_array,
}
LABELS: dict[str, Any] = {
    "int": lambda codes: codes * 3 - 4,
    "bool": lambda codes: codes > 0,
    "str": lambda codes: np.array(["b", "a", "d", "c", "é"])[codes],
    "object": lambda codes: np.array(["b", "a", "d", "c", "é"], dtype=object)[codes],
    "float": lambda codes: codes.astype(float),
    "uint8": lambda codes: codes.astype(np.uint8),
    "list": lambda codes: codes.tolist(),
    "frame": lambda codes: pd.Series(codes, name="target"),
}
CLASSIFICATION = ("binary", "multiclass", "multilabel")
TARGETS = (*CLASSIFICATION, "regression", "multioutput", "poisson")


@dataclass
class Problem:
    """A data set, and the name of the kind of its target in `TARGETS`."""

    target: str
    X: Any
    y: Any
    sample_weight: Any = None
    values: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)  # X as an array

    def _repr_pretty_(self, printer, cycle):
        """Print the kind of data, for hypothesis. `reproduce_failure` restores the values."""
        kinds = [f"{type(part).__name__} {np.shape(part)}" for part in (self.X, self.y)]
        weighted = self.sample_weight is not None
        printer.text(
            f"Problem({self.target}, {kinds}, {self.values.dtype} {self.values.shape}, "
            f"weighted={weighted})"
        )

    @property
    def is_classification(self):
        return self.target in CLASSIFICATION

    @property
    def n_rows(self):
        return len(self.values)


@st.composite
def problems(draw, targets=TARGETS, max_rows=60):
    """Draw a `Problem` whose values are random numbers of a drawn seed."""
    target = draw(st.sampled_from(targets))
    n_rows = draw(st.one_of(st.integers(1, max_rows), st.sampled_from([199, 201])))
    n_features = draw(st.integers(1, 8))
    random = np.random.RandomState(draw(SEEDS))
    values = random.randn(n_rows, n_features) * draw(st.sampled_from([1.0, 1.0, 1e-3, 10.0]))
    signal = values.sum(axis=1)
    if draw(st.booleans()):
        values[random.rand(n_rows, n_features) < 0.6] = 0
    dtype = draw(st.sampled_from([float, float, float, np.float32, int, np.int8, bool]))
    values = values.astype(dtype)
    container = draw(st.sampled_from(sorted(CONTAINERS)))
    return Problem(
        target,
        CONTAINERS[container](values),
        draw(_target(target, random, signal)),
        draw(_weights(n_rows, random)),
        values,
    )


@st.composite
def _target(draw, target, random, signal):
    n_rows = len(signal)
    if target in ("binary", "multiclass"):
        n_classes = draw(st.integers(1, 2)) if target == "binary" else draw(st.integers(3, 5))
        names = [name for name in LABELS if name != "bool" or n_classes == 2]
        codes = random.randint(0, n_classes, n_rows)
        codes[: min(n_rows, n_classes)] = np.arange(n_classes)[:n_rows]
        return LABELS[draw(st.sampled_from(sorted(names)))](codes)
    n_outputs = draw(st.integers(2, 4))
    if target == "multilabel":
        y = (random.rand(n_rows, n_outputs) < 0.4).astype(int)
        y[0], y[-1] = 0, 1
        return draw(st.sampled_from([np.asarray, sp.csr_matrix, np.ndarray.tolist]))(y)
    if target == "multioutput":
        return signal[:, None] * random.rand(n_outputs) + random.randn(n_rows, n_outputs)
    y = np.abs(signal).round() if target == "poisson" else signal + random.randn(n_rows)
    if target == "regression":
        y = y * draw(st.sampled_from([1.0, 100.0])) + draw(st.sampled_from([0.0, 5.0]))
        y = y.astype(draw(st.sampled_from([float, np.float32, int])))
    return draw(st.sampled_from([np.asarray, pd.Series, np.ndarray.tolist, _column]))(y)


def _column(y):
    return y[:, None]


def _weights(n_rows, random):
    positive = random.rand(n_rows) + 0.1
    some_zero = random.randint(0, 3, n_rows) * 0.5
    some_zero[0] = 1.0
    kinds = [None, None, positive, positive.tolist(), some_zero, np.ones(n_rows, dtype=int)]
    return st.sampled_from(range(len(kinds))).map(kinds.__getitem__)


@st.composite
def parameters(draw, problem):
    """Draw parameters that scikit-learn's MLP has, too."""
    solver = draw(SOLVERS)
    if problem.target == "multioutput":  # scikit-learn's gradient of L-BFGS is wrong
        solver = draw(st.sampled_from(["adam", "sgd"]))
    can_stop_early = solver != "lbfgs" and problem.target != "multiclass" and problem.n_rows > 4
    # scikit-learn computes R² of a float32 y partly in float32.
    can_stop_early = can_stop_early and getattr(problem.y, "dtype", None) != np.float32
    early_stopping = can_stop_early and draw(st.booleans())
    drawn = {
        "solver": solver,
        "activation": draw(ACTIVATIONS),
        "hidden_layer_sizes": draw(LAYERS),
        "alpha": draw(st.sampled_from([0.0, 1e-4, 0.01, 1, 5.0, np.float64(0.1)])),
        "batch_size": draw(
            st.one_of(st.just("auto"), st.integers(1, problem.n_rows + 5), st.just(np.int32(7)))
        ),
        "learning_rate": draw(st.sampled_from(["constant", "invscaling", "adaptive"])),
        "learning_rate_init": draw(st.sampled_from([1e-4, 1e-3, 0.01, 0.1, 0.5])),
        "power_t": draw(st.sampled_from([0, 0.1, 0.5, 1.0, 2.0])),
        "max_iter": draw(st.integers(1, 10 if solver == "lbfgs" else 15)),
        "shuffle": draw(st.booleans()),
        "tol": draw(st.sampled_from([1e-4, 0.0, 1e-8, 0.05, 1.0, 100.0])),
        "momentum": draw(st.sampled_from([0, 0.5, 0.9, 0.99, 1.0])),
        "nesterovs_momentum": draw(st.booleans()),
        "early_stopping": early_stopping,
        "validation_fraction": draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8])),
        "beta_1": draw(st.sampled_from([0.0, 0.5, 0.9, 0.999])),
        "beta_2": draw(st.sampled_from([0.0, 0.5, 0.9, 0.999])),
        "epsilon": draw(st.sampled_from([1e-8, 1e-12, 1e-3, 1.0])),
        "n_iter_no_change": draw(st.sampled_from([1, 2, 10, np.inf])),
        "max_fun": draw(st.sampled_from([1, 3, 15, 15000])),
        "warm_start": draw(st.booleans()),
    }
    if drawn["beta_2"] == 0:
        # A step is then a quotient of gradients, also of those that are only the rounding errors of
        # probabilities close to 1. A change of X does not show that.
        drawn["epsilon"] = max(drawn["epsilon"], 1e-3)
    if problem.target == "poisson":
        drawn["loss"] = "poisson"
    names = draw(st.sets(st.sampled_from(sorted(drawn))))  # the others keep their defaults
    if "beta_2" in names:
        names |= {"epsilon"}
    required = {"solver", "max_iter", "early_stopping", "loss", "hidden_layer_sizes"}
    return {name: value for name, value in drawn.items() if name in names | required}
