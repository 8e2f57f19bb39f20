"""Tests for the tools of scikit-learn: each accepts the estimators and gives the same results."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import BEFORE_1_7, requires_sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (a switch)
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    get_scorer,
    get_scorer_names,
    roc_auc_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    LearningCurveDisplay,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

PARAMETERS = dict(hidden_layer_sizes=(6,), max_iter=30, random_state=0, learning_rate_init=0.02)
FRAME, LABELS = load_breast_cancer(return_X_y=True, as_frame=True)
FRAME, LABELS = FRAME.iloc[:200, :4], LABELS[:200]
X, y = scale(FRAME), LABELS.to_numpy()
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
LABEL_COLUMNS = np.column_stack([y, X[:, 1] > 0])
X_reg, y_reg = load_diabetes(return_X_y=True)
X_reg, y_reg = scale(X_reg[:150, :4]), scale(y_reg[:150])


def pipeline(mlp, regressor):
    return make_pipeline(StandardScaler(), mlp).fit(FRAME, LABELS).predict_proba(FRAME)


def set_output(mlp, regressor):
    scaler = StandardScaler().set_output(transform="pandas")
    model = make_pipeline(scaler, mlp).fit(FRAME, LABELS)
    assert list(mlp.feature_names_in_) == list(FRAME.columns)
    return model.predict_proba(FRAME)


def column_transformer(mlp, regressor):
    columns = ColumnTransformer([("scale", StandardScaler(), list(FRAME.columns[:2]))])
    return make_pipeline(columns, mlp).fit(FRAME, LABELS).predict_proba(FRAME)


def search(kind, **options):
    def run(mlp, regressor):
        grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(4,), (3, 3)]}
        found = kind(mlp, grid, cv=2, **options).fit(X, y)
        return found.cv_results_["mean_test_score"], found.predict(X)

    return run


def cross_validation(mlp, regressor):
    return cross_val_score(mlp, X, y, cv=3)


def cross_validated_predictions(mlp, regressor):
    return cross_val_predict(mlp, X, y, cv=3, method="predict_proba")


def in_two_processes(mlp, regressor):
    return cross_val_score(mlp, X, y, cv=2, n_jobs=2)


def in_two_threads(mlp, regressor):
    from joblib import parallel_config

    with parallel_config("threading", n_jobs=2):
        return cross_val_score(mlp, X, y, cv=4)


def calibration(method):
    def run(mlp, regressor):
        calibrated = CalibratedClassifierCV(mlp, method=method, cv=2)
        return [calibrated.fit(X, labels).predict_proba(X) for labels in (y, THREE)]

    return run


def voting(mlp, regressor):
    models = [("mlp", mlp), ("line", LogisticRegression())]
    return VotingClassifier(models, voting="soft").fit(X, y).predict_proba(X)


def stacking(mlp, regressor):
    stack = StackingClassifier([("mlp", mlp)], cv=2)
    return [stack.fit(X, labels).transform(X) for labels in (y, THREE)]


def bagging(mlp, regressor):
    return BaggingClassifier(mlp, n_estimators=3, random_state=0).fit(X, y).predict_proba(X)


def boosting(mlp, regressor):
    return AdaBoostClassifier(mlp, n_estimators=2, random_state=0).fit(X, y).predict_proba(X)


def one_vs_rest(mlp, regressor):
    model = OneVsRestClassifier(mlp).fit(X, THREE)
    assert not hasattr(model, "decision_function")
    return model.predict(X), model.predict_proba(X)


def one_vs_one(mlp, regressor):
    return OneVsOneClassifier(mlp).fit(X, THREE).decision_function(X)


def output_codes(mlp, regressor):
    return OutputCodeClassifier(mlp, random_state=0).fit(X, THREE).predict(X)


def classifier_chain(mlp, regressor):
    methods = ["predict_proba", "decision_function"]  # the first one that the classifier has
    chain = ClassifierChain(mlp, chain_method=methods).fit(X, LABEL_COLUMNS)
    return chain.predict_proba(X)


def tuned_threshold(mlp, regressor):
    model = TunedThresholdClassifierCV(mlp, cv=2, scoring="f1", store_cv_results=True).fit(X, y)
    return model.cv_results_["thresholds"], model.best_threshold_, model.predict(X)


def multi_output(mlp, regressor):
    return MultiOutputClassifier(mlp).fit(X, LABEL_COLUMNS).predict(X)


def multi_output_regression(mlp, regressor):
    return MultiOutputRegressor(regressor).fit(X_reg, np.c_[y_reg, -y_reg]).predict(X_reg)


def transformed_target(mlp, regressor):
    model = TransformedTargetRegressor(regressor, func=np.arcsinh, inverse_func=np.sinh)
    return model.fit(X_reg, y_reg).predict(X_reg)


def importance(mlp, regressor):
    fitted = mlp.fit(X, y)
    return permutation_importance(fitted, X, y, n_repeats=2, random_state=0).importances


def partial_dependence(mlp, regressor):
    fitted = regressor.fit(X_reg, y_reg)
    display = PartialDependenceDisplay.from_estimator(fitted, X_reg, [0, (1, 2)], grid_resolution=5)
    return [result["average"] for result in display.pd_results]


def partial_dependence_of_a_class(mlp, regressor):
    display = PartialDependenceDisplay.from_estimator(mlp.fit(X, y), X, [0], grid_resolution=5)
    return display.pd_results[0]["average"]


def decision_boundary(labels):
    def run(mlp, regressor):
        fitted = mlp.fit(X[:, :2], labels)
        return DecisionBoundaryDisplay.from_estimator(fitted, X[:, :2], grid_resolution=20).response

    return run


def roc_curve(mlp, regressor):
    display = RocCurveDisplay.from_estimator(mlp.fit(X, y), X, y, drop_intermediate=False)
    return display.fpr, display.tpr


def roc_curves_of_cross_validation(mlp, regressor):
    results = cross_validate(mlp, X, y, cv=2, return_estimator=True, return_indices=True)
    display = RocCurveDisplay.from_cv_results(results, X, y)
    return [*display.fpr, *display.tpr]


def precision_recall_curve(mlp, regressor):
    display = PrecisionRecallDisplay.from_estimator(mlp.fit(X, y), X, y)
    return display.precision, display.recall


def det_curve(mlp, regressor):
    display = DetCurveDisplay.from_estimator(mlp.fit(X, y), X, y)
    return display.fpr, display.fnr


def scorers(labels, names):
    def run(mlp, regressor):
        fitted = mlp.fit(X, labels)
        return [get_scorer(name)(fitted, X, labels) for name in names]

    return run


def confusion_matrix(mlp, regressor):
    return ConfusionMatrixDisplay.from_estimator(mlp.fit(X, y), X, y).confusion_matrix


def learning_curve(mlp, regressor):
    display = LearningCurveDisplay.from_estimator(mlp, X, y, train_sizes=[0.5, 1.0], cv=2)
    return display.train_scores, display.test_scores


def validation_curve(mlp, regressor):
    display = ValidationCurveDisplay.from_estimator(
        mlp, X, y, param_name="alpha", param_range=[1e-3, 1.0], cv=2
    )
    return display.train_scores, display.test_scores


def named(name, tool, since="1.6"):
    return pytest.param(tool, id=name, marks=requires_sklearn(since, name))


SCORERS = [
    "roc_auc",
    "average_precision",
    "neg_log_loss",
    "neg_brier_score",
]
if "d2_log_loss_score" in get_scorer_names():  # not in old versions of scikit-learn
    SCORERS.append("d2_log_loss_score")
SCORERS_OF_THREE = ["roc_auc_ovr", "roc_auc_ovo", "top_k_accuracy", "neg_log_loss"]


TOOLS = [
    pipeline,
    set_output,
    column_transformer,
    named("grid_search", search(GridSearchCV)),
    named("grid_search_in_two_processes", search(GridSearchCV, n_jobs=2)),
    named("randomized_search", search(RandomizedSearchCV, n_iter=3, random_state=0)),
    named("halving_search", search(HalvingGridSearchCV, random_state=0)),
    cross_validation,
    cross_validated_predictions,
    in_two_processes,
    in_two_threads,
    named("calibration", calibration("sigmoid")),
    named("isotonic_calibration", calibration("isotonic")),
    named("temperature_scaling", calibration("temperature"), since="1.8"),
    voting,
    stacking,
    bagging,
    named("boosting", boosting, since="1.7"),
    one_vs_rest,
    one_vs_one,
    output_codes,
    classifier_chain,
    tuned_threshold,
    multi_output,
    multi_output_regression,
    transformed_target,
    importance,
    partial_dependence,
    partial_dependence_of_a_class,
    named("decision_boundary_of_two_classes", decision_boundary(y)),
    named("decision_boundary_of_three_classes", decision_boundary(THREE)),
    roc_curve,
    named("roc_curves_of_cross_validation", roc_curves_of_cross_validation, since="1.7"),
    precision_recall_curve,
    det_curve,
    named("scorers_of_two_classes", scorers(y, SCORERS)),
    named("scorers_of_three_classes", scorers(THREE, SCORERS_OF_THREE)),
    confusion_matrix,
    learning_curve,
    validation_curve,
]


# Thirty epochs are enough for a comparison.
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("tool", TOOLS)
def test_tool_gives_the_results_of_scikit_learn(tool):
    ours = tool(TorchMLPClassifier(**PARAMETERS), TorchMLPRegressor(**PARAMETERS))
    plt.close("all")
    theirs = tool(MLPClassifier(**PARAMETERS), MLPRegressor(**PARAMETERS))
    plt.close("all")
    ours, theirs = (r if isinstance(r, (tuple, list)) else [r] for r in (ours, theirs))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("loss", ["hinge", "perceptron"])
def test_tools_use_the_decision_function_of_margin_losses(loss):
    mlp = TorchMLPClassifier(**PARAMETERS, loss=loss)
    calibrated = CalibratedClassifierCV(mlp, cv=2).fit(X, y)
    assert calibrated.predict_proba(X).shape == (len(X), 2)
    one_vs_rest = OneVsRestClassifier(mlp).fit(X, THREE)
    stack = StackingClassifier([("mlp", mlp)], cv=2).fit(X, THREE)
    for model in (calibrated, TunedThresholdClassifierCV(mlp, cv=2).fit(X, y)):
        assert model.score(X, y) > 0.85
    for model in (one_vs_rest, OneVsOneClassifier(mlp).fit(X, THREE), stack):
        assert model.score(X, THREE) > 0.85
    fitted = one_vs_rest.estimators_[1]
    np.testing.assert_array_equal(
        one_vs_rest.decision_function(X)[:, 1], fitted.decision_function(X)
    )
    np.testing.assert_array_equal(stack.transform(X), stack.estimators_[0].decision_function(X))
    fitted = mlp.fit(X, y)
    scores = fitted.decision_function(X)
    assert get_scorer("roc_auc")(fitted, X, y) == roc_auc_score(y, scores)
    assert RocCurveDisplay.from_estimator(fitted, X, y).roc_auc == roc_auc_score(y, scores)
    for labels in (y,) if BEFORE_1_7 else (y, THREE):  # DecisionBoundaryDisplay of three classes
        fitted = mlp.fit(X[:, :2], labels)
        display = DecisionBoundaryDisplay.from_estimator(fitted, X[:, :2], grid_resolution=9)
        grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
        expected = fitted.decision_function(grid).reshape(display.response.shape)
        np.testing.assert_array_equal(display.response, expected)
    plt.close("all")


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_feature_names_are_checked():
    mlp = TorchMLPClassifier(**PARAMETERS).fit(FRAME, LABELS)
    assert list(mlp.feature_names_in_) == list(FRAME.columns)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        mlp.predict(FRAME.to_numpy())
    with pytest.raises(ValueError, match="feature names should match"):
        mlp.predict(FRAME[FRAME.columns[::-1]])
    renamed = pd.DataFrame(FRAME.to_numpy(), columns=list("abcd"))
    with pytest.raises(ValueError, match="feature names should match"):
        mlp.predict(renamed)
