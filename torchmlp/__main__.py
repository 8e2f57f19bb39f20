"""Compare the MLPs of scikit-learn and torchmlp: print a table and draw a figure."""

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, load_iris, make_circles, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

REPEATS = 3
# From the palette of Okabe and Ito, which is suitable for color-blind readers.
SKLEARN_COLOR, TORCHMLP_COLOR = "#D55E00", "#0072B2"
CLASS_COLORS = ["#0072B2", "#E69F00", "#009E73"]


@dataclass
class Problem:
    """A data set, and the parameters of both estimators."""

    name: str
    data: tuple[np.ndarray, np.ndarray]
    parameters: dict
    estimators: tuple = (MLPClassifier, TorchMLPClassifier)

    def split(self):
        X_train, X_test, y_train, y_test = train_test_split(*self.data, random_state=0)
        scaler = StandardScaler().fit(X_train)
        return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


@dataclass
class Comparison:
    """The fitted estimators, test scores and fit times of scikit-learn and torchmlp."""

    problem: Problem
    models: list[Any]
    scores: list[float]
    seconds: list[float]

    @property
    def largest_difference(self):
        first, second = (np.array(model.loss_curve_) for model in self.models)
        return np.abs(first - second).max() if first.shape == second.shape else np.nan

    def row(self):
        first, second = self.seconds
        return (
            f"{self.problem.name:<12}{self.scores[0]:>14.4f}{self.scores[1]:>11.4f}"
            f"{self.largest_difference:>17.1e}{first:>14.3f}{second:>11.3f}{first / second:>8.1f}"
        )


HEADER = (
    f"{'':<12}{'test score':>25}{'loss curves':>17}{'seconds':>25}\n"
    f"{'data set':<12}{'scikit-learn':>14}{'torchmlp':>11}{'max difference':>17}"
    f"{'scikit-learn':>14}{'torchmlp':>11}{'ratio':>8}"
)


def problems():
    """Return the problems to compare."""
    iris, digits = load_iris(), load_digits()
    rng = np.random.RandomState(0)
    x = np.sort(rng.uniform(-6, 6, 400))
    wave = x / 2 + np.sin(x) * np.cos(2 * x) + rng.normal(scale=0.2, size=400)
    return [
        Problem(
            "circles",
            make_circles(600, noise=0.12, factor=0.5, random_state=0),
            {"hidden_layer_sizes": (8, 6), "max_iter": 500, "learning_rate_init": 0.005},
        ),
        Problem(
            "moons",
            make_moons(1000, noise=0.2, random_state=0),
            {"hidden_layer_sizes": (10, 10), "batch_size": 32},
        ),
        Problem("iris", (iris.data[:, 2:], iris.target), {"max_iter": 500}),
        Problem("digits", (digits.data, digits.target), {"max_iter": 100}),
        Problem(
            "regression",
            (x[:, None], wave),
            {
                "hidden_layer_sizes": (80, 20),
                "activation": "tanh",
                "batch_size": 50,
                "max_iter": 400,
                "learning_rate_init": 0.005,
            },
            (MLPRegressor, TorchMLPRegressor),
        ),
    ]


def compare(problem):
    """Fit both estimators `REPEATS` times in alternation, and keep their shortest times."""
    X_train, X_test, y_train, y_test = problem.split()
    seconds = [np.inf, np.inf]
    models: list[Any] = [None, None]
    for _ in range(REPEATS):
        for i, estimator in enumerate(problem.estimators):
            models[i] = estimator(random_state=0, **problem.parameters)
            start = time.perf_counter()
            models[i].fit(X_train, y_train)
            seconds[i] = min(seconds[i], time.perf_counter() - start)
    return Comparison(problem, models, [m.score(X_test, y_test) for m in models], seconds)


def draw(comparisons, path):
    """Draw the decision boundaries, the regression and the loss curves in one figure."""
    from matplotlib.figure import Figure

    by_name = {comparison.problem.name: comparison for comparison in comparisons}
    figure = Figure(figsize=(15, 7.2), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 4)
    for column, name in enumerate(("circles", "moons", "iris")):
        for row in range(2):
            _draw_boundary(axes[row, column], by_name[name], row)
    _draw_regression(axes[0, 3], by_name["regression"])
    _draw_losses(axes[1, 3], comparisons)
    figure.savefig(path, dpi=110)


def _draw_boundary(ax, comparison, which):
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap
    from sklearn.inspection import DecisionBoundaryDisplay

    X, _, y, _ = comparison.problem.split()
    colors = CLASS_COLORS[: len(np.unique(y))]
    style: dict[str, Any] = {"multiclass_colors": colors}
    if len(colors) == 2:
        first, second = colors
        style = {"cmap": LinearSegmentedColormap.from_list("classes", [first, "white", second])}
    # The default response method: both classifiers have predict_proba and no decision_function.
    DecisionBoundaryDisplay.from_estimator(
        comparison.models[which], X, grid_resolution=200, alpha=0.6, ax=ax, **style
    )
    colormap = ListedColormap(colors)
    ax.scatter(*X.T, c=y, cmap=colormap, s=12, edgecolors="black", linewidths=0.4)
    library = ("scikit-learn", "torchmlp")[which]
    ax.set_title(f"{comparison.problem.name}, {library}: {comparison.scores[which]:.3f}")
    ax.set_xticks([])
    ax.set_yticks([])


def _draw_regression(ax, comparison):
    X, _, y, _ = comparison.problem.split()
    sklearn_mlp, torch_mlp = comparison.models
    grid = np.linspace(X.min(), X.max(), 400)[:, None]
    ax.scatter(X[:, 0], y, s=8, color="0.65", label="training data")
    ax.plot(
        grid, sklearn_mlp.predict(grid), color=SKLEARN_COLOR, lw=4, alpha=0.5, label="scikit-learn"
    )
    ax.plot(grid, torch_mlp.predict(grid), color=TORCHMLP_COLOR, lw=1.5, ls="--", label="torchmlp")
    ax.set_title("x/2 + sin(x) cos(2x) + noise")
    ax.set_xlabel("x, standardized")
    ax.legend(loc="upper left", fontsize=8)


def _draw_losses(ax, comparisons):
    for comparison in comparisons:
        sklearn_mlp, torch_mlp = comparison.models
        ax.plot(sklearn_mlp.loss_curve_, color=SKLEARN_COLOR, lw=4, alpha=0.4)
        ax.plot(torch_mlp.loss_curve_, color=TORCHMLP_COLOR, lw=1.2, ls="--")
        ax.annotate(
            comparison.problem.name,
            (torch_mlp.n_iter_ - 1, torch_mlp.loss_curve_[-1]),
            xytext=(2, -8),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        )
    ax.plot([], [], color=SKLEARN_COLOR, lw=4, alpha=0.4, label="scikit-learn")
    ax.plot([], [], color=TORCHMLP_COLOR, lw=1.2, ls="--", label="torchmlp")
    ax.set_yscale("log")
    ax.margins(x=0.14)
    ax.set_title("training loss")
    ax.set_xlabel("epoch")
    ax.legend(loc="upper right", fontsize=8)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m torchmlp", description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("torchmlp-demo.png"),
        metavar="FILE",
        help="file name of the figure (default: %(default)s)",
    )
    path = parser.parse_args(arguments).out
    if not path.parent.is_dir():
        parser.error(f"--out {path}: the folder {path.parent} does not exist. Create it first.")

    warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is small on purpose
    print(HEADER)
    comparisons = []
    for problem in problems():
        comparisons.append(compare(problem))
        print(comparisons[-1].row(), flush=True)
    draw(comparisons, path)
    print(f"Times are the shortest of {REPEATS} fits. Figure saved to {path}")


if __name__ == "__main__":
    main()
