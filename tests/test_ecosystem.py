"""Every tool of scikit-learn accepts the estimators, and finds what it finds for its own MLP."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (a switch)
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    LearningCurveDisplay,
    RandomizedSearchCV,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

PARAMETERS = dict(hidden_layer_sizes=(6,), max_iter=30, random_state=0, learning_rate_init=0.02)
FRAME, LABELS = load_breast_cancer(return_X_y=True, as_frame=True)
FRAME, LABELS = FRAME.iloc[:200, :4], LABELS[:200]
X, y = scale(FRAME), LABELS.to_numpy()
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


def calibration(mlp, regressor):
    return CalibratedClassifierCV(mlp, cv=2).fit(X, y).predict_proba(X)


def voting(mlp, regressor):
    models = [("mlp", mlp), ("line", LogisticRegression())]
    return VotingClassifier(models, voting="soft").fit(X, y).predict_proba(X)


def stacking(mlp, regressor):
    stack = StackingClassifier([("mlp", mlp)], cv=2, stack_method="predict_proba")
    return stack.fit(X, y).predict_proba(X)


def bagging(mlp, regressor):
    return BaggingClassifier(mlp, n_estimators=3, random_state=0).fit(X, y).predict_proba(X)


def one_vs_rest(mlp, regressor):
    three = np.digitize(X[:, 0], [-0.5, 0.5])
    return OneVsRestClassifier(mlp).fit(X, three).predict(X)


def multi_output(mlp, regressor):
    labels = np.column_stack([y, X[:, 1] > 0])
    return MultiOutputClassifier(mlp).fit(X, labels).predict(X)


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


def decision_boundary(mlp, regressor):
    fitted = mlp.fit(X[:, :2], y)
    display = DecisionBoundaryDisplay.from_estimator(
        fitted, X[:, :2], response_method="predict_proba", grid_resolution=20
    )
    return display.response


def roc_curve(mlp, regressor):
    display = RocCurveDisplay.from_estimator(mlp.fit(X, y), X, y, response_method="predict_proba")
    return display.fpr, display.tpr


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


class WithLogOdds(MLPClassifier):
    """scikit-learn's class with our decision function, which some tools prefer."""

    def decision_function(self, X):
        return logit(self.predict_proba(X)[:, 1])


TOOLS = [
    pipeline,
    set_output,
    column_transformer,
    pytest.param(search(GridSearchCV), id="grid_search"),
    pytest.param(search(GridSearchCV, n_jobs=2), id="grid_search_in_two_processes"),
    pytest.param(search(RandomizedSearchCV, n_iter=3, random_state=0), id="randomized_search"),
    pytest.param(search(HalvingGridSearchCV, random_state=0), id="halving_search"),
    cross_validation,
    cross_validated_predictions,
    in_two_processes,
    in_two_threads,
    calibration,
    voting,
    stacking,
    bagging,
    one_vs_rest,
    multi_output,
    multi_output_regression,
    transformed_target,
    importance,
    partial_dependence,
    decision_boundary,
    roc_curve,
    confusion_matrix,
    learning_curve,
    validation_curve,
]


# Thirty epochs are few on purpose.
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("tool", TOOLS)
def test_tool(tool):
    ours = tool(TorchMLPClassifier(**PARAMETERS), TorchMLPRegressor(**PARAMETERS))
    plt.close("all")
    theirs = tool(WithLogOdds(**PARAMETERS), MLPRegressor(**PARAMETERS))
    plt.close("all")
    ours, theirs = (r if isinstance(r, (tuple, list)) else [r] for r in (ours, theirs))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_feature_names():
    mlp = TorchMLPClassifier(**PARAMETERS).fit(FRAME, LABELS)
    assert list(mlp.feature_names_in_) == list(FRAME.columns)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        mlp.predict(FRAME.to_numpy())
    with pytest.raises(ValueError, match="feature names should match"):
        mlp.predict(FRAME[FRAME.columns[::-1]])
    renamed = pd.DataFrame(FRAME.to_numpy(), columns=list("abcd"))
    with pytest.raises(ValueError, match="feature names should match"):
        mlp.predict(renamed)
