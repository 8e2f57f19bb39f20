"""Tests for torchmlp.callbacks.fingerprint."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks.fingerprint import differences, digest, fingerprint
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
        ({"shuffle": True}, {"shuffle": np.True_}),
        ({"activation": torch.sin}, {"activation": torch.sin}),
        ({"max_iter": 3}, {"max_iter": 5}),
        ({"learning_rate": "adaptive", "max_iter": 3}, {"learning_rate": "adaptive"}),
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


def test_address_of_a_function_does_not_matter():
    def make():
        return lambda raw, y: ((raw - y) ** 2).sum(dim=1)

    assert _of(loss=make()) == _of(loss=make())


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
import numpy as np, torch
from torchmlp import TorchMLPRegressor
from torchmlp.callbacks.fingerprint import digest, fingerprint
from torchmlp.training.batches import Dataset
model = TorchMLPRegressor(activation=torch.sin, solver=torch.optim.Adam, random_state=0)
X = np.arange(60.0).reshape(20, 3)
print(digest(fingerprint(model, Dataset(X, np.arange(20.0)[:, None]), None, False)))
"""


def test_fingerprint_is_the_same_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    mine = _of(activation=torch.sin, solver=torch.optim.Adam, random_state=0)
    assert done.stdout.strip() == digest(mine)
