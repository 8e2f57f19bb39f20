"""DecisionRegionDisplay: how sure a classifier is, and where its hidden units change sign."""

import numpy as np

from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.regions import decision_regions, leads
from torchmlp.inspection.style import distinct_colors, legend_beside, one_axes


class DecisionRegionDisplay:
    """Probabilities of all classes over two features, and the boundaries of hidden units.

    Each class has the region where it is the most probable, in its colour, which is the stronger
    the more probable it is; contour lines are where its probability has a value. Dashed
    lines are where a hidden unit changes sign: what it applies its activation function to is zero
    there. In the first layer they are straight, ``x @ w + b = 0``. For decision functions,
    regressors and other estimators there is
    :class:`sklearn.inspection.DecisionBoundaryDisplay`.

    It is recommended to use :meth:`~torchmlp.inspection.DecisionRegionDisplay.from_estimator`.
    All parameters are stored as attributes.

    Parameters
    ----------
    x0, x1 : ndarray of shape (n_points,)
        Values of the features.

    probabilities : ndarray of shape (n_classes, n_points, n_points)
        Probability of each class on the grid, ``[k, i, j]`` at ``(x0[j], x1[i])``.

    class_names : list of str
        Names of the classes.

    pre_activations : ndarray of shape (n_units, n_points, n_points), default=None
        What each unit of a hidden layer applies its activation function to.

    feature_names : list of str, default=None
        Names of the features; "x0" and "x1" by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the regions.

    figure_ : matplotlib Figure
        Figure with the regions.

    colors_ : list of color
        Colour of each class.

    surface_ : list of matplotlib QuadContourSet
        The region of each class.

    bands_ : list of matplotlib QuadContourSet
        The parts of it that have at least the probability of each level.

    contours_ : dict of str to matplotlib QuadContourSet
        Contour lines of the probability of each class that reaches a level.

    boundaries_ : dict of int to matplotlib QuadContourSet
        Where each hidden unit changes sign, of those that do so here.

    legend_ : matplotlib Legend
        The classes.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : Predictions of any estimator.
    HiddenFeaturesDisplay : What each hidden unit makes of two features.

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
    >>> display = DecisionRegionDisplay.from_estimator(clf, X[:, 2:])
    >>> display.ax_.scatter(X[:, 2], X[:, 3], c=[display.colors_[k] for k in y], ec="k")
    <...>
    >>> plt.show()
    """

    def __init__(
        self, *, x0, x1, probabilities, class_names, pre_activations=None, feature_names=None
    ):
        self.x0 = x0
        self.x1 = x1
        self.probabilities = probabilities
        self.class_names = class_names
        self.pre_activations = pre_activations
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        layer=0,
        grid_resolution=200,
        margin=0.1,
        feature_names=None,
        ax=None,
        **kwargs,
    ):
        """Draw the regions of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            A fitted MLP classifier of torchmlp or scikit-learn, or a Pipeline or a search with
            one in it. The features are those that the estimator gets.
        X : array-like of shape (n_samples, 2)
            Data whose range is drawn.
        layer : int or None, default=0
            Index of the hidden layer whose units' boundaries are drawn; None for none.
        grid_resolution : int, default=200
            Number of points along each feature.
        margin : float, default=0.1
            By which share of its length to widen the range of X at both ends.
        feature_names : list of str, default=None
            Names of the features: by default those of the columns the estimator was fitted on, or
            "x0" and "x1".
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : DecisionRegionDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no multilayer perceptron, or a regressor.
        ValueError
            If it gives no probabilities of classes that exclude each other, X has not two
            features, or there is no such layer.
        """
        found = decision_regions(
            find_model(estimator),
            X,
            layer=layer,
            grid_resolution=grid_resolution,
            margin=margin,
        )
        default = getattr(estimator, "feature_names_in_", None)
        names = checked_names("feature_names", feature_names, 2, default)
        return cls(**found, feature_names=names).plot(ax, **kwargs)

    def plot(
        self,
        ax=None,
        *,
        levels=(0.6, 0.75, 0.9),
        colors=None,
        contour_labels=True,
        legend=True,
        surface_kw=None,
        contour_kw=None,
        boundary_kw=None,
        text_kw=None,
    ):
        """Draw the regions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        levels : sequence of float, default=(0.6, 0.75, 0.9)
            Probabilities at which the colour gets stronger, with a contour line; increasing, and
            above 0.5, as only one class can have those.
        colors : list of color, default=None
            Colour of each class.
        contour_labels : bool, default=True
            Whether to write the probabilities on the contour lines.
        legend : bool, default=True
            Whether to draw a legend of the classes.
        surface_kw : dict, default=None
            Style of the regions, as for :meth:`matplotlib.axes.Axes.contourf`.
        contour_kw : dict, default=None
            Style of the contour lines, as for :meth:`matplotlib.axes.Axes.contour`.
        boundary_kw : dict, default=None
            Style of the hidden units' boundaries, as for :meth:`matplotlib.axes.Axes.contour`.
        text_kw : dict, default=None
            Style of the contour lines' labels, as for :meth:`matplotlib.axes.Axes.clabel`.

        Returns
        -------
        display : DecisionRegionDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `levels` are others, or there are more or fewer `colors` than classes.
        """
        n_classes = len(self.class_names)
        if not (np.diff([0.5, *levels, 1]) > 0).all():
            raise ValueError(f"levels={levels!r} must increase, and be between 0.5 and 1.")
        if colors is not None and len(colors) != n_classes:
            raise ValueError(
                f"colors={colors!r} has {len(colors)} of them for {n_classes} classes. Give one "
                "for each, or leave it out."
            )
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        self.colors_ = distinct_colors(n_classes) if colors is None else list(colors)
        self._draw_surface(levels, surface_kw)
        self._draw_contours(levels, contour_kw)
        if contour_labels:
            for line in self.contours_.values():
                self.ax_.clabel(line, **{"fontsize": "x-small", "fmt": "%g", **(text_kw or {})})
        self._draw_boundaries(boundary_kw)
        names = checked_names("feature_names", self.feature_names, 2)
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        self.legend_ = self._draw_legend() if legend else None
        return self

    def _draw_surface(self, levels, style):
        """Draw each region faintly, and over it the bands between levels, the likelier stronger."""
        from matplotlib.colors import to_rgba

        strengths = np.linspace(0.2, 0.5, len(levels))

        def fill(maps, levels, alphas):
            return [
                self.ax_.contourf(
                    self.x0,
                    self.x1,
                    values,
                    levels=levels,
                    colors=[to_rgba(color, alpha) for alpha in alphas],
                    **{"zorder": -1, **(style or {})},
                )
                for values, color in zip(maps, self.colors_, strict=True)
            ]

        self.surface_ = fill(leads(self.probabilities), [0, 2], [0.2])
        self.bands_ = fill(self.probabilities, [*levels, 1.1], strengths) if len(levels) else []

    def _draw_contours(self, levels, style):
        options = {"linewidths": 0.6, "alpha": 0.7, "zorder": 0, **(style or {})}
        lines = {
            name: self._contour(probability, levels, options)
            for name, probability in zip(self.class_names, self.probabilities, strict=True)
        }
        self.contours_ = {name: line for name, line in lines.items() if line}

    def _draw_boundaries(self, style):
        options = {"linewidths": 1.0, "linestyles": "--", "zorder": 1, **(style or {})}
        units = [] if self.pre_activations is None else self.pre_activations
        lines = {i: self._contour(values, [0], options) for i, values in enumerate(units)}
        self.boundaries_ = {i: line for i, line in lines.items() if line}

    def _contour(self, values, levels, options):
        """Draw contour lines in the colour of text, or return None where there are none."""
        from matplotlib import rcParams

        levels = [level for level in levels if values.min() < level < values.max()]
        if not levels:
            return None
        options = {"colors": rcParams["text.color"], **options}
        return self.ax_.contour(self.x0, self.x1, values, levels=levels, **options)

    def _draw_legend(self):
        from matplotlib.patches import Patch

        handles = [
            Patch(facecolor=color, alpha=0.7, label=name)
            for name, color in zip(self.class_names, self.colors_, strict=True)
        ]
        return legend_beside(self.ax_, handles)
