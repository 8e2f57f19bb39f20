"""Tests for torchmlp.training.inference."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly, iris

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training import inference, threads


def test_block_size_has_no_effect_on_predictions():
    _, X, y, _ = TASKS["regression"]
    mlp = fit_quietly(
        TorchMLPRegressor(hidden_layer_sizes=(40, 30), random_state=0, max_iter=5), X, y
    )
    many = np.tile(X, (100, 1))
    np.testing.assert_allclose(mlp.predict(many), np.tile(mlp.predict(X), 100), rtol=1e-10)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "multioutput"])
def test_blocks_and_threads_have_no_effect_on_predictions(task, monkeypatch):
    (_, ours), X, y, needed = TASKS[task]
    mlp = fit_quietly(ours(random_state=0, max_iter=5, **needed), X, y)
    methods = [name for name in ("predict", "predict_proba") if hasattr(mlp, name)]
    expected = [getattr(mlp, name)(X) for name in methods]
    hidden = mlp.hidden_activations(X)
    found = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(threads, "MIN_WORK_FOR_THREADS", 1)
        monkeypatch.setattr(inference, "MAX_LAYER_BYTES", 8 * 100 * 7)  # seven rows
        for name, values in zip(methods, expected, strict=True):
            got = getattr(mlp, name)(X)
            if values.dtype.kind == "f":
                np.testing.assert_allclose(got, values, rtol=1e-10)
            else:
                np.testing.assert_array_equal(got, values)
        np.testing.assert_allclose(mlp.hidden_activations(X)[0], hidden[0], atol=1e-14)
    finally:
        torch.set_num_threads(found)


def test_error_in_a_thread_of_a_prediction_is_raised(monkeypatch):
    X, y = iris()
    mlp = fit_quietly(TorchMLPClassifier(random_state=0, max_iter=2), X, y)
    monkeypatch.setattr(threads, "MIN_WORK_FOR_THREADS", 1)
    mlp.activation = lambda z: z[:1]
    with pytest.raises(ValueError, match="must return a tensor of the same shape as its input"):
        mlp.predict(X)


AT_EXIT = """
import atexit, warnings
import numpy as np, torch
from torchmlp import TorchMLPRegressor
warnings.simplefilter("ignore")
torch.set_num_threads(2)
X = np.random.RandomState(0).rand(20_000, 50)
mlp = TorchMLPRegressor(random_state=0, max_iter=1).fit(X[:100], X[:100, 0])
atexit.register(lambda: print(len(mlp.predict(X))))
"""


def test_many_rows_are_predicted_while_the_interpreter_exits():
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "20000"
