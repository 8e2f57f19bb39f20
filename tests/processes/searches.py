"""The search of the tests of clusters."""

from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier


def make_search():
    """Return an unfitted search."""
    mlp = TorchMLPClassifier((10,), learning_rate="one_cycle", max_iter=10, random_state=0)
    grid = {"torchmlpclassifier__alpha": [1e-4, 1e-2, 1.0]}
    return GridSearchCV(make_pipeline(StandardScaler(), mlp), grid, cv=3)


def report(search):
    """Fit a search, and print its best score and parameters."""
    search.fit(*load_iris(return_X_y=True))
    print(repr(search.best_score_), search.best_params_)
