"""Tests for torchmlp.callbacks.fingerprint."""

import copy
import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks.fingerprint import describe, differences, digest, fingerprint
from torchmlp.training.batches import Dataset

X = np.arange(60.0).reshape(20, 3)
Y = np.arange(20.0)[:, None]


def _of(data=None, validation=None, **parameters):
    data = Dataset(X, Y) if data is None else data
    return fingerprint(TorchMLPRegressor(**parameters), data, validation, resumed=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"alpha": 1}, {"alpha": np.float32(1.0)}),
        ({"random_state": 3}, {"random_state": np.int64(3)}),
        ({"hidden_layer_sizes": (3, 4)}, {"hidden_layer_sizes": np.array([3, 4])}),
        ({"hidden_layer_sizes": [7] * 500}, {"hidden_layer_sizes": (7,) * 500}),
        ({"shuffle": True}, {"shuffle": np.True_}),
        ({"activation": torch.sin}, {"activation": torch.sin}),
        ({"max_iter": 3}, {"max_iter": 5}),
        ({"learning_rate": "adaptive", "max_iter": 3}, {"learning_rate": "adaptive"}),
        ({"random_state": np.random.RandomState(0)}, {"random_state": np.random.RandomState(1)}),
        (
            {"activation": torch.sin, "loss": np.str_("poisson")},
            {"activation": torch.sin, "loss": "poisson"},
        ),
        ({"alpha": {2: 1, "a": {3, "b"}}}, {"alpha": {"a": {"b", 3}, 2: 1}}),  # as class_weight
        ({"warm_start": True, "verbose": True, "time_limit": 3}, {}),
    ],
)
def test_equal_values_have_equal_fingerprints(one, other):
    assert _of(**one) == _of(**other)
    assert digest(_of(**one)) == digest(_of(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"alpha": 1.0}, {"alpha": 1.0000000000000002}),
        ({"shuffle": True}, {"shuffle": False}),
        ({"alpha": {0: 1, 1: 2}}, {"alpha": {0: 2, 1: 1}}),
        ({"random_state": 2**60}, {"random_state": 2**60 + 1}),
        ({"activation": [torch.sin]}, {"activation": [torch.nn.functional.silu]}),
        ({"n_iter_no_change": 10}, {"n_iter_no_change": np.inf}),
        ({"activation": torch.sin}, {"activation": torch.cos}),
        ({"random_state": None}, {"random_state": np.random.RandomState(0)}),
        ({"learning_rate": "cosine", "max_iter": 3}, {"learning_rate": "cosine", "max_iter": 4}),
        (
            {"solver": functools.partial(torch.optim.SGD, momentum=0.1)},
            {"solver": functools.partial(torch.optim.SGD, momentum=0.2)},
        ),
    ],
)
def test_different_values_are_named(one, other):
    (described,) = differences(_of(**one), _of(**other))
    name = list(one)[-1]
    assert described.startswith(f"{name}=")
    assert " instead of " in described
    assert digest(_of(**one)) != digest(_of(**other))


def _squared_error(raw, y):
    return ((raw - y) ** 2).sum(dim=1)


def _scaled(scale):
    return lambda raw, y: scale * _squared_error(raw, y)


def _default(scale):
    def loss(raw, y, scale=scale):
        return scale * _squared_error(raw, y)

    return loss


def _nested(scale):
    return lambda raw, y: next(scale * _squared_error(raw, y) for _ in range(1))


def _wrapped(scale):
    @functools.wraps(_squared_error)
    def loss(raw, y):
        return scale * _squared_error(raw, y)

    return loss


class _Loss:
    def __init__(self, scale):
        self.scale = scale
        self.lock = threading.Lock()  # cannot be pickled

    def __call__(self, raw, y):
        return self.scale * _squared_error(raw, y)


class _LossWithSlots:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, raw, y):
        return self.scale * _squared_error(raw, y)


def _method(scale):
    return _Loss(scale).__call__


def _compiled(code):
    """Return the function that a script defines."""
    names = {"__name__": "script"}
    exec(code, names)
    return names["loss"]


@pytest.mark.parametrize(
    "make",
    [_scaled, _default, _nested, _wrapped, _Loss, _LossWithSlots, _method],
)
@pytest.mark.parametrize(
    ("scale", "other"),
    [(1.0, 2.0), (torch.ones(3), torch.zeros(3)), (np.ones(5000), np.zeros(5000))],
)
def test_values_in_a_callable_are_compared(make, scale, other):
    assert _of(loss=make(scale)) == _of(loss=make(copy.deepcopy(scale)))
    (found,) = differences(_of(loss=make(scale)), _of(loss=make(other)))
    assert found.startswith("loss=")
    assert len(found) < 1000


def test_callables_in_a_list_are_compared():
    one, other, same = ([torch.sin, _scaled(scale)] for scale in (1, 2, 1))
    assert _of(activation=one) == _of(activation=same)
    assert _of(activation=one) != _of(activation=other)


LOSS = """
FACTOR = 1.0

def part(raw, y):
    return (raw - y) ** 2

def loss(raw, y):
    return FACTOR * sum(part(raw, y))
"""
CLASS = LOSS.replace("def loss(raw", "class loss:\n  def __call__(self, raw")


@pytest.mark.parametrize("code", [LOSS, CLASS])
@pytest.mark.parametrize(
    ("old", "new"),
    [("sum(part(raw, y))", "max(part(raw, y))"), ("** 2", "** 3"), ("FACTOR = 1.0", "FACTOR = 2")],
)
def test_edited_functions_are_compared(code, old, new):
    same = _compiled("# a comment\n" + code)
    assert describe(same) == describe(_compiled(code))
    assert describe(_compiled(code.replace(old, new))) != describe(same)


def test_object_that_contains_itself_is_described():
    one, other = _Loss(1.0), _Loss(1.0)
    one.itself, other.itself = [one], [other]
    assert describe(one) == describe(other)


def test_objects_that_share_parts_are_described_in_linear_time():
    value = ["part"]
    for _ in range(200):
        value = [value, value]
    assert len(describe(value)) < 1000


def test_use_of_an_optimizer_or_a_compiled_function_does_not_matter():
    solver, loss = torch.optim.NAdam, torch.compile(_squared_error, backend="eager")
    before = describe([solver, loss])
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    solver([parameter]).step()
    loss(torch.zeros(3, 2), torch.zeros(3, 2))
    assert describe([solver, loss]) == before


@pytest.mark.parametrize(
    ("data", "described"),
    [
        (
            Dataset(X[:9], Y[:9]),
            ["X=float64 array of shape (9, 3)", "y=float64 array of shape"],
        ),
        (Dataset(X + 1, Y), ["other values of X"]),
        (Dataset(X, Y + 1), ["other values of y"]),
        (Dataset(sp.csr_array(X), Y), ["X=float64 sparse array of shape (20, 3) instead of float"]),
        (
            Dataset(X, Y, np.ones(20)),
            ["sample_weight=float64 array of shape (20,) instead of None"],
        ),
    ],
)
def test_different_data_are_named(data, described):
    found = differences(_of(data), _of())
    assert len(found) == len(described)
    for text, expected in zip(found, described, strict=True):
        assert text.startswith(expected)
    assert differences(_of(data), _of(data)) == []


def test_values_of_sparse_data_are_compared():
    one, other = sp.csr_array(X), sp.csr_array(X)
    other.data[5] += 1
    found = differences(_of(Dataset(one, Y)), _of(Dataset(other, Y)))
    assert found == ["other values of X"]


def test_dtype_of_sparse_indices_does_not_matter():
    one, other = sp.csr_array(X), sp.csr_array(X)
    other.indices, other.indptr = other.indices.astype("int64"), other.indptr.astype("int64")
    assert _of(Dataset(one, Y)) == _of(Dataset(other, Y))


def test_schedules_for_which_max_iter_may_differ_are_named():
    one, other, third = (
        _of(learning_rate=rate, max_iter=n)
        for rate, n in [("cosine", 3), ("cosine", 4), ("constant", 4)]
    )
    (found,) = differences(one, other)
    assert found.startswith("max_iter=3 instead of 4 (it may only differ with learning rate sched")
    assert differences(one, third) == ["learning_rate='cosine' instead of 'constant'"]


def test_validation_data_are_compared():
    assert differences(_of(validation=Dataset(X, Y)), _of()) == [
        "X_val=float64 array of shape (20, 3) instead of None",
        "y_val=float64 array of shape (20, 1) instead of None",
    ]


def test_rows_of_the_whole_array_are_sampled():
    large = np.zeros((50_000, 10))
    changed = large.copy()
    changed[-1, -1] = 1.0
    targets = np.zeros((50_000, 1))
    found = differences(_of(Dataset(changed, targets)), _of(Dataset(large, targets)))
    assert found == ["other values of X"]


def test_initial_weights_of_a_warm_start_are_compared():
    one, other = (
        TorchMLPClassifier((2,), solver="lbfgs", random_state=seed).fit(X, Y[:, 0] > 9)
        for seed in (0, 1)
    )
    data = Dataset(X, Y)
    fingerprints = [fingerprint(model, data, None, resumed=True) for model in (one, other)]
    found = differences(*fingerprints)
    assert found == ["random_state=0 instead of 1", "other initial weights"]


CODE = """
import functools, torch
from sklearn.metrics import get_scorer
from torchmlp.callbacks.fingerprint import describe

class Loss(torch.nn.Module):
    def __init__(self, names):
        super().__init__()
        self.names, self.weight = names, torch.nn.Parameter(torch.ones(3))

    def forward(self, raw, y):
        return self.weight if y in {"a", "b", "c"} else raw

print(describe([
    Loss({"d", "e", "f"}), torch.sin, torch.optim.Adam, lambda y: y in {"a", "b", "c"},
    functools.partial(torch.optim.SGD, momentum=0.1), get_scorer("f1_macro"), torch.nn.PReLU(),
    torch.nn.functional.silu, print, torch.Generator(),
]))
"""


def _printed(seed):
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_texts_are_the_same_in_another_process():
    assert _printed(1) == _printed(2)
