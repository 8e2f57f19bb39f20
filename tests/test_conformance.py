"""scikit-learn's estimator checks, for the defaults and for every way to train."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

VARIANTS = [
    {},
    {"solver": "sgd"},
    {"solver": "lbfgs"},
    {"activation": "tanh"},
    {"hidden_layer_sizes": ()},
    {"dtype": "float32"},
]


def _expected_failures(estimator):
    return {}


@parametrize_with_checks(
    [
        estimator(max_iter=100, **variant)
        for estimator in (TorchMLPClassifier, TorchMLPRegressor)
        for variant in VARIANTS
    ],
    expected_failed_checks=_expected_failures,
)
@pytest.mark.filterwarnings("ignore")
def test_estimator_checks(estimator, check):
    check(estimator)
