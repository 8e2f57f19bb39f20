"""Tests for attribution libraries on the module that to_torch(output="logits") returns."""

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly

# The libraries warn of their own code.
pytestmark = pytest.mark.filterwarnings("ignore")
ATTRIBUTED = ["binary", "multiclass", "multilabel", "regression", "poisson"]


def _network(task):
    """Return a fitted network as a module, four rows and thirty rows to compare them with."""
    (_, ours), X, y, needed = TASKS[task]
    model = fit_quietly(ours(hidden_layer_sizes=(10,), random_state=0, max_iter=20, **needed), X, y)
    rows = torch.from_numpy(X)
    return model.to_torch(output="logits"), rows[:4], rows[50:80]


def _outputs(network, rows):
    with torch.no_grad():
        return network(rows).numpy()


@pytest.mark.parametrize("task", ATTRIBUTED)
def test_integrated_gradients_of_captum_add_up(task):
    attr = pytest.importorskip("captum.attr")
    network, rows, others = _network(task)
    baseline = others[:1]
    expected = _outputs(network, rows) - _outputs(network, baseline)
    for output in range(expected.shape[1]):
        found = attr.IntegratedGradients(network).attribute(
            rows, baselines=baseline, target=output, n_steps=100
        )
        assert found.shape == rows.shape
        np.testing.assert_allclose(found.sum(dim=1).numpy(), expected[:, output], atol=0.02)


@pytest.mark.parametrize("task", ATTRIBUTED)
def test_deep_explainer_of_shap_adds_up(task):
    shap = pytest.importorskip("shap")
    network, rows, others = _network(task)
    values = shap.DeepExplainer(network, others).shap_values(rows)
    expected = _outputs(network, rows) - _outputs(network, others).mean(axis=0)
    assert values.shape == (*rows.shape, expected.shape[1])
    np.testing.assert_allclose(values.sum(axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_gradient_explainer_of_shap_adds_up(task):
    shap = pytest.importorskip("shap")
    network, rows, others = (part.float() for part in _network(task))  # it makes float32 samples
    explainer = shap.GradientExplainer(network, others)
    values = explainer.shap_values(rows, nsamples=1000, rseed=0)
    expected = _outputs(network, rows) - _outputs(network, others).mean(axis=0)
    values = values.reshape(*rows.shape, expected.shape[1])
    np.testing.assert_allclose(values.sum(axis=1), expected, atol=0.15 * np.abs(expected).max())
