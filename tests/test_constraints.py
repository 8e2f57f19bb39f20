"""Tests for torchmlp.hints."""

import pytest
from helpers import OURS, iris

from torchmlp import TorchMLPRegressor

X, y = iris()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("parameters", "suggestion"),
    [
        ({"activation": "ReLU"}, "Did you mean activation='relu'"),
        ({"activation": "SWISH"}, "Did you mean activation='silu'"),
        ({"activation": "sigmoid"}, "Did you mean activation='logistic'"),
        ({"solver": "RMSprop"}, "Write solver=torch.optim.RMSprop"),
        ({"solver": "Adam"}, "Did you mean solver='adam'"),
        ({"learning_rate": 0.01}, "did you mean learning_rate_init=0.01"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_error_suggests_the_intended_value(estimator, parameters, suggestion):
    with pytest.raises(ValueError, match=suggestion):
        estimator(**parameters).fit(X, y)


def test_hidden_layers_in_place_of_the_loss():
    with pytest.raises(ValueError, match=r"write hidden_layer_sizes=\(10,\)"):
        TorchMLPRegressor((10,)).fit(X, y)
