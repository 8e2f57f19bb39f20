"""Draw the figures of the README's gallery and save them in .github/gallery."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits, load_iris, make_moons
from sklearn.preprocessing import scale

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots
from torchmlp.inspection import (
    DecisionRegionDisplay,
    HiddenFeaturesDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    PiecewiseLinearEncodingDisplay,
    TrainingAnimation,
    WeightsDisplay,
)
from torchmlp.preprocessing import PiecewiseLinearEncoder

FOLDER = Path(__file__).parent / "gallery"
# A schedule that ends at max_iter, so that no ConvergenceWarning is raised.
ONE_CYCLE = {"learning_rate": "one_cycle", "learning_rate_init": 0.02, "random_state": 0}


def network():
    iris = load_iris()
    clf = TorchMLPClassifier(
        (3, 2), activation="tanh", solver="lbfgs", max_iter=1000, random_state=1
    )
    clf.fit(scale(iris.data), iris.target_names[iris.target])
    return NetworkDisplay.from_estimator(clf, feature_names=iris.feature_names)


def loss_curves():
    X, y = load_digits(return_X_y=True)
    train, rest = np.arange(0, 1797, 2), np.arange(1, 1797, 2)
    networks = {
        name: TorchMLPClassifier((64,), max_iter=60, **ONE_CYCLE, **parameters).fit(
            X[train] / 16, y[train], X_val=X[rest] / 16, y_val=y[rest]
        )
        for name, parameters in {
            "plain": {},
            "dropout": {"dropout": 0.5},
            "alpha = 1": {"alpha": 1.0},
        }.items()
    }
    return LossCurveDisplay.from_estimator(networks, yscale="log")


def features():
    x = np.linspace(-3, 3, 200)[:, np.newaxis]
    reg = TorchMLPRegressor(hidden_layer_sizes=(12,), max_iter=1500, batch_size=20, **ONE_CYCLE)
    return HiddenFeaturesDisplay.from_estimator(reg.fit(x, np.sin(x.ravel())), x)


def regions():
    iris = load_iris()
    X = iris.data[:, 2:]
    clf = TorchMLPClassifier((6,), max_iter=300, **ONE_CYCLE)
    clf.fit(X, iris.target_names[iris.target])
    return DecisionRegionDisplay.from_estimator(
        clf,
        X,
        iris.target_names[iris.target],
        layer=0,
        feature_names=iris.feature_names[2:],
        data_kw={"s": 14},
    )


def weights():
    X, y = load_digits(return_X_y=True)
    clf = TorchMLPClassifier(
        (30, 30, 30), activation="logistic", max_iter=60, callbacks=[Snapshots()], **ONE_CYCLE
    )
    return WeightsDisplay.from_estimator(clf.fit(X / 16, y), X / 16)


def encoding():
    rng = np.random.default_rng(0)
    age = rng.gamma(9, 5, size=(5000, 1)).clip(16, 90)
    price = np.where(age < 25, 9, 5) + np.maximum(age - 60, 0) / 4 + rng.normal(size=age.shape)
    encoder = PiecewiseLinearEncoder(n_bins=8).fit(age, price)
    display = PiecewiseLinearEncodingDisplay.from_estimator(encoder, age)
    display.axes_[1].set_xlabel("age")
    return display


def animation():
    X, y = make_moons(200, noise=0.2, random_state=0)
    clf = TorchMLPClassifier(
        (20, 20), max_iter=60, callbacks=[Snapshots(every=4)], **{**ONE_CYCLE, "batch_size": 20}
    )
    return TrainingAnimation.from_estimator(clf.fit(X, y), X, y, grid_resolution=100)


def main():
    FOLDER.mkdir(exist_ok=True)
    mpl.use("Agg")
    for draw in (network, loss_curves, features, regions, weights, encoding):
        draw().figure_.savefig(FOLDER / f"{draw.__name__}.png", dpi=90)
    animation().save(FOLDER / "animation.gif", fps=6, dpi=60)


if __name__ == "__main__":
    main()
