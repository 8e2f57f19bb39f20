"""scikit-learn's estimator checks, for the defaults and for every way to train."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

VARIANTS = [
    {},
    {"solver": "sgd"},
    {"solver": "lbfgs"},
    {"activation": "tanh"},
    # At the default rate no linear model gets anywhere in 200 epochs, scikit-learn's neither.
    {"hidden_layer_sizes": (), "learning_rate_init": 0.1},
    {"dtype": "float32"},
]


def _expected_failures(estimator):
    if estimator.dtype == "float32":
        reason = "asserts seven equal digits of sums in another order, and float32 has seven"
        return {
            "check_sample_weight_equivalence_on_dense_data": reason,
            "check_sample_weight_equivalence_on_sparse_data": reason,
        }
    if estimator.solver == "lbfgs" and isinstance(estimator, TorchMLPClassifier):
        reason = (
            "asserts probabilities below 1; lbfgs separates the labels until a float64 is 1, with "
            "scikit-learn's class as well"
        )
        return {"check_classifiers_multilabel_output_format_predict_proba": reason}
    return {}


@parametrize_with_checks(
    [
        estimator(**variant)
        for estimator in (TorchMLPClassifier, TorchMLPRegressor)
        for variant in VARIANTS
    ],
    expected_failed_checks=_expected_failures,
    xfail_strict=True,
)
# The checks fit on data where 200 epochs are not enough, and on constant features.
@pytest.mark.filterwarnings("ignore")
def test_estimator_checks(estimator, check):
    check(estimator)
