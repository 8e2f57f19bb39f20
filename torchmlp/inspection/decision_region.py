"""DecisionRegionDisplay: class probabilities, samples and the boundaries of hidden units."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from torchmlp import _typing as t
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.regions import class_margins, decision_regions
from torchmlp.inspection.samples import scatter_groups
from torchmlp.inspection.style import axes_or_new_figure, checked_colors, legend_beside


class DecisionRegionDisplay:
    """Decision regions of a classifier with two features.

    The region where a class is the most probable is filled with its color, which is more opaque
    for higher probabilities. Contour lines connect points of equal probability. If `y` is given,
    the samples are drawn in the colors of their classes. If a hidden layer is given, dashed lines
    are the boundaries of its units, where the pre-activation of a unit is zero. In the first
    hidden layer they are straight lines, ``x @ w + b = 0``. For regressors, decision functions and
    other estimators, use :class:`sklearn.inspection.DecisionBoundaryDisplay`.

    It is recommended to use :meth:`~torchmlp.inspection.DecisionRegionDisplay.from_estimator` to
    create a :class:`DecisionRegionDisplay`. All parameters are stored as attributes.

    Parameters
    ----------
    x0, x1 : ndarray of shape (n_points,)
        Grid values of the first and the second feature.

    probabilities : ndarray of shape (n_classes, n_points, n_points)
        Class probabilities on the grid. ``probabilities[k, i, j]`` is the probability of class
        `k` at ``(x0[j], x1[i])``.

    class_names : list of str
        Names of the classes.

    pre_activations : ndarray of shape (n_units, n_points, n_points), default=None
        Pre-activation of each unit of a hidden layer on the grid. If `None`, no boundaries are
        drawn.

    feature_names : list of str, default=None
        Names of the features. By default, "x0" and "x1".

    X : ndarray of shape (n_samples, 2), default=None
        Samples to draw. If `None`, no samples are drawn.

    y : ndarray of int of shape (n_samples,), default=None
        Index of the class of each sample. Required if `X` is given.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the regions.

    figure_ : matplotlib Figure
        Figure containing the axes.

    colors_ : list of color
        Color of each class.

    surface_ : list of matplotlib QuadContourSet
        Filled region of each class.

    bands_ : list of matplotlib QuadContourSet
        For each class, filled bands between the probability levels.

    contours_ : dict of str to matplotlib QuadContourSet
        Contour lines of each class whose probability reaches a level, by class name.

    scatters_ : list of matplotlib PathCollection
        Samples of each class. Empty if there are no samples.

    boundaries_ : dict of int to matplotlib QuadContourSet
        Boundary of each hidden unit that changes sign on the grid, by index of the unit.

    legend_ : matplotlib Legend or None
        Legend of the classes. Its entries are samples, or regions if there are no samples.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : Decision boundary of any estimator.
    HiddenFeaturesDisplay : Activation of each hidden unit as a function of the features.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.inspection import DecisionRegionDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> mlp = TorchMLPClassifier((4,), alpha=0.1, solver="lbfgs", random_state=0)
    >>> clf = make_pipeline(StandardScaler(), mlp).fit(X[:, 2:], y)
    >>> display = DecisionRegionDisplay.from_estimator(clf, X[:, 2:], y)
    >>> [len(scatter.get_offsets()) for scatter in display.scatters_]
    [50, 50, 50]
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        x0: t.Array,
        x1: t.Array,
        probabilities: t.Array,
        class_names: t.Names,
        pre_activations: t.Array | None = None,
        feature_names: t.Names | None = None,
        X: t.Array | None = None,
        y: t.Array | None = None,
    ) -> None:
        self.x0 = x0
        self.x1 = x1
        self.probabilities = probabilities
        self.class_names = class_names
        self.pre_activations = pre_activations
        self.feature_names = feature_names
        self.X = X
        self.y = y

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: t.Matrix,
        y: t.Vector | None = None,
        *,
        layer: int | None = None,
        grid_resolution: int = 200,
        margin: float = 0.1,
        feature_names: t.Names | None = None,
        ax: t.Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Create the display from a fitted classifier, and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted MLP classifier of torchmlp or scikit-learn, or a Pipeline or search that
            contains one. Features are the inputs of `estimator` as a whole.
        X : array-like of shape (n_samples, 2)
            Samples whose range determines the grid.
        y : array-like of shape (n_samples,), default=None
            Classes of the samples. If given, the samples are drawn.
        layer : int, default=None
            Index of the hidden layer whose boundaries are drawn, for example 0 for the first. If
            `None`, no boundaries are drawn.
        grid_resolution : int, default=200
            Number of grid points along each feature.
        margin : float, default=0.1
            Fraction of the range of X by which the grid extends beyond it at both ends.
        feature_names : list of str, default=None
            Names of the features. By default, `feature_names_in_` of the estimator if defined,
            else "x0" and "x1".
        ax : matplotlib Axes, default=None
            Axes to plot on. If `None`, a new figure is created.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : DecisionRegionDisplay
            The display.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not a multilayer perceptron, or is a regressor.
        ValueError
            If the estimator is a multilabel classifier or has no `predict_proba`, X does not have
            two features, y does not match X or contains unknown classes, or `layer` is out of
            range.
        """
        found = decision_regions(
            find_model(estimator),
            X,
            y,
            layer=layer,
            grid_resolution=grid_resolution,
            margin=margin,
        )
        default = getattr(estimator, "feature_names_in_", None)
        names = checked_names("feature_names", feature_names, 2, default)
        return cls(**found, feature_names=names).plot(ax, **kwargs)

    def plot(
        self,
        ax: t.Axes | None = None,
        *,
        levels: Sequence[float] = (0.6, 0.75, 0.9),
        colors: Sequence[Any] | None = None,
        contour_labels: bool = True,
        legend: bool = True,
        surface_kw: t.Style = None,
        contour_kw: t.Style = None,
        boundary_kw: t.Style = None,
        text_kw: t.Style = None,
        data_kw: t.Style = None,
    ) -> Self:
        """Draw the regions, and the samples if there are any.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If `None`, a new figure is created.
        levels : sequence of float, default=(0.6, 0.75, 0.9)
            Probabilities at which contour lines are drawn and the opacity of the color increases.
            The values must be increasing and between 0.5 and 1.
        colors : list of color, default=None
            Color of each class. If `None`, default colors are used.
        contour_labels : bool, default=True
            Whether to label the contour lines with their probabilities.
        legend : bool, default=True
            Whether to draw a legend of the classes.
        surface_kw : dict, default=None
            Keyword arguments for the regions, passed to :meth:`matplotlib.axes.Axes.contourf`.
        contour_kw : dict, default=None
            Keyword arguments for the contour lines, passed to
            :meth:`matplotlib.axes.Axes.contour`.
        boundary_kw : dict, default=None
            Keyword arguments for the boundaries of the hidden units, passed to
            :meth:`matplotlib.axes.Axes.contour`.
        text_kw : dict, default=None
            Keyword arguments for the labels of the contour lines, passed to
            :meth:`matplotlib.axes.Axes.clabel`.
        data_kw : dict, default=None
            Keyword arguments for the samples, passed to :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : DecisionRegionDisplay
            The display.

        Raises
        ------
        ValueError
            If `levels` is invalid, or the length of `colors` is not the number of classes.
        """
        if not (np.diff([0.5, *levels, 1]) > 0).all():
            raise ValueError(f"levels={levels!r} must be increasing and between 0.5 and 1.")
        self.ax_ = axes_or_new_figure(ax)
        self.figure_ = self.ax_.figure
        self.colors_ = checked_colors(colors, len(self.class_names), "classes")
        self._draw_surface(levels, surface_kw)
        self._draw_contours(levels, contour_kw)
        if contour_labels:
            for line in self.contours_.values():
                self.ax_.clabel(line, **{"fontsize": "x-small", "fmt": "%g", **(text_kw or {})})
        self._draw_boundaries(boundary_kw)
        self._draw_samples(data_kw)
        names = checked_names("feature_names", self.feature_names, 2)
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        self.legend_ = self._draw_legend() if legend else None
        return self

    def _draw_surface(self, levels, style):
        """Fill each region, and the bands between probability levels with increasing opacity."""
        from matplotlib.colors import to_rgba

        alphas = np.linspace(0.2, 0.5, len(levels))

        def fill(values_by_class, levels, alphas):
            return [
                self.ax_.contourf(
                    self.x0,
                    self.x1,
                    values,
                    levels=levels,
                    colors=[to_rgba(color, alpha) for alpha in alphas],
                    **{"zorder": -1, **(style or {})},
                )
                for values, color in zip(values_by_class, self.colors_, strict=True)
            ]

        self.surface_ = fill(class_margins(self.probabilities), [0, 2], [0.2])
        self.bands_ = fill(self.probabilities, [*levels, 1.1], alphas) if len(levels) else []

    def _draw_contours(self, levels, style):
        options = {"linewidths": 0.6, "alpha": 0.7, "zorder": 0, **(style or {})}
        lines = {
            name: self._contour(probability, levels, options)
            for name, probability in zip(self.class_names, self.probabilities, strict=True)
        }
        self.contours_ = {name: line for name, line in lines.items() if line}

    def _draw_boundaries(self, style):
        options = {"linewidths": 1.0, "linestyles": "--", "zorder": 1, **(style or {})}
        units: Any = [] if self.pre_activations is None else self.pre_activations
        lines = {i: self._contour(values, [0], options) for i, values in enumerate(units)}
        self.boundaries_ = {i: line for i, line in lines.items() if line}

    def _draw_samples(self, style):
        self.scatters_ = []
        if self.X is not None:
            groups = [self.X[self.y == k] for k in range(len(self.class_names))]
            self.scatters_ = scatter_groups(
                self.ax_, groups, self.class_names, self.colors_, style, zorder=1.5
            )

    def _contour(self, values, levels, options):
        """Draw contour lines in the text color, or return None if no level is in the range."""
        from matplotlib import rcParams

        levels = [level for level in levels if values.min() < level < values.max()]
        if not levels:
            return None
        options = {"colors": rcParams["text.color"], **options}
        return self.ax_.contour(self.x0, self.x1, values, levels=levels, **options)

    def _draw_legend(self):
        from matplotlib.patches import Patch

        handles = self.scatters_ or [
            Patch(facecolor=color, alpha=0.7, label=name)
            for name, color in zip(self.class_names, self.colors_, strict=True)
        ]
        return legend_beside(self.ax_, handles)
