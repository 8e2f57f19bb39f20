"""Tests for torchmlp.training.forward."""

import pytest
import torch

from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.forward import bind_forward, bind_hidden
from torchmlp.training.parameters import Parameters
from torchmlp.training.products import DenseInput
from torchmlp.training.workspace import Layout, Workspace

CPU = torch.device("cpu")
NAMES = ["tanh", "gelu"]
FUNCTIONS = [torch.tanh, torch.nn.functional.gelu]


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_bound_calls_compute_the_outputs_of_the_current_weights(hidden):
    units, activations = (3, *hidden, 2), [ACTIVATIONS[name] for name in NAMES[: len(hidden)]]
    layout = Layout(units, torch.float64, torch.float64, CPU, activations, [0.0] * len(hidden))
    weights, workspace = Parameters(units, torch.float64, CPU), Workspace(7, layout)
    rows, out = torch.empty(7, 3, dtype=torch.float64), layout.empty_outputs(7)
    layers = weights.layers
    hidden_calls = bind_hidden(layers, workspace)
    calls = bind_forward(layers, DenseInput(rows), workspace, hidden_calls, out)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        weights.flat.normal_(generator=generator)
        rows.normal_(generator=generator)
        for call in calls:
            call()
        values, (*before, last) = rows, layers
        for layer, function in zip(before, FUNCTIONS, strict=False):
            values = function(values @ layer.coefs + layer.intercepts)
        expected = values @ last.coefs + last.intercepts
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
