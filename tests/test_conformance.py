"""Tests for scikit-learn's estimator checks, for the defaults and for every way to train."""

import pytest
from helpers import ALWAYS_EXPECTED, SKLEARN_VERSION, STRICT, focal_loss
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from torchmlp import TorchMLPClassifier, TorchMLPRegressor


class FocalLoss:
    """A loss whose representation, part of the names of the tests, is the same in each process."""

    def __call__(self, raw, y):
        return focal_loss(raw, y)

    def __repr__(self):
        return "FocalLoss()"


VARIANTS = [
    {},
    {"solver": "sgd"},
    {"solver": "lbfgs"},
    {"activation": "tanh"},
    # At the default rate 200 epochs are not enough for a linear model, as in scikit-learn.
    {"hidden_layer_sizes": (), "learning_rate_init": 0.1},
    {"dropout": 0.2},
    {"solver": "adamw"},
    {"activation": "gelu"},
]


WEIGHTS = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")]
EVERY_PARTIAL_FIT = [
    "check_estimators_partial_fit_n_features",
    "check_fit_score_takes_y",
    "check_n_features_in_after_fitting",
]
# parameter, value, classifier only, checks, why they fail
EXPECTED_FAILURES = [
    ("dropout", 0.2, False, WEIGHTS, "dropout is drawn for each copy of a row"),
    ("class_weight", "balanced", True, WEIGHTS, "counts rows, not weights, as in scikit-learn"),
    ("class_weight", "balanced", True, EVERY_PARTIAL_FIT, "partial_fit raises for 'balanced'"),
    (
        "activation",
        "tanh",
        True,
        ["check_class_weight_classifiers"],
        "asserts that only the class of large weight is predicted; this network separates them",
    ),
    (
        "solver",
        "lbfgs",
        True,
        ["check_classifiers_multilabel_output_format_predict_proba"],
        "asserts probabilities below 1; lbfgs separates the labels until a float64 is 1, with "
        "scikit-learn's class as well",
    ),
]
QUANTILES = [0.1, 0.5, 0.9]
COLUMNS = ["check_regressors_train"] + [
    f"check_estimator_sparse_{kind}" for kind in ("array", "matrix")
]
EXPECTED_FAILURES += [
    ("quantile", QUANTILES, False, COLUMNS, "predictions have a column per quantile")
]


def _skip_unsuitable(estimator, check):
    if estimator.dtype == "float32" and check.func.__name__ in WEIGHTS:
        pytest.skip("asserts seven equal digits: in float32 the rounding of the machine decides")
    if parse_version("1.9") > SKLEARN_VERSION and check.func.__name__ == "check_array_api_input":
        pytest.skip("requires fitted attributes in the namespace of X; see ALWAYS_EXPECTED")


def _expected_failures(estimator):
    return ALWAYS_EXPECTED | {
        check: reason
        for name, value, classifier, checks, reason in EXPECTED_FAILURES
        if getattr(estimator, name, None) == value
        and (isinstance(estimator, TorchMLPClassifier) or not classifier)
        for check in checks
    }


@parametrize_with_checks(
    [
        estimator(**variant)
        for estimator in (TorchMLPClassifier, TorchMLPRegressor)
        for variant in VARIANTS
    ]
    + [TorchMLPClassifier(loss=loss) for loss in ("hinge", "perceptron")]
    + [TorchMLPClassifier(class_weight="balanced"), TorchMLPClassifier(loss=FocalLoss())]
    + [TorchMLPRegressor("huber"), TorchMLPRegressor("gaussian")]
    + [TorchMLPRegressor("quantile", quantile=quantile) for quantile in (0.3, QUANTILES)]
    + [TorchMLPRegressor(normalize_y=True)],
    expected_failed_checks=_expected_failures,
    **STRICT,
)
# The checks fit on data where 200 epochs are not enough, and on constant features.
@pytest.mark.filterwarnings("ignore")
def test_estimator_checks(estimator, check):
    _skip_unsuitable(estimator, check)
    check(estimator)


@parametrize_with_checks(
    [TorchMLPClassifier(dtype="float32"), TorchMLPRegressor(dtype="float32")],
    expected_failed_checks=lambda estimator: ALWAYS_EXPECTED,
    **STRICT,
)
@pytest.mark.filterwarnings("ignore")
def test_estimator_checks_in_float32(estimator, check):
    _skip_unsuitable(estimator, check)
    check(estimator)
