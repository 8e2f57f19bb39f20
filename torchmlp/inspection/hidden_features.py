"""HiddenFeaturesDisplay: what each hidden unit computes."""

import numpy as np

from torchmlp.inspection.features import features_of_images, features_of_inputs, strongest
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.style import (
    check_choice,
    columns_for,
    grid_of_axes,
    image_extent,
    legend_beside,
    limit_of,
    merged,
    sign_colormap,
    unit_styles,
)


class HiddenFeaturesDisplay:
    """What each unit of a hidden layer computes.

    - Of one feature: a curve per unit, and beside them the same curves times the unit's weight in
      the output, which add up, with the intercept, to the output.
    - Of two features: a map per unit, blue where its value is positive and orange where it is
      negative.
    - Of images: the weights of each unit of the first layer as an image, in the same colours.

    It is recommended to use :meth:`~torchmlp.inspection.HiddenFeaturesDisplay.from_estimator`.
    All parameters are stored as attributes.

    Parameters
    ----------
    values : ndarray of shape (n_units, n_points), (n_units, n_points, n_points) or \
            (n_units, height, width)
        Values of each unit along one feature or, second feature first, on a grid of two; or its
        weights.

    strength : array-like of shape (n_units,)
        How much each unit matters. Of too many units those with the largest are drawn.

    grid : ndarray of shape (n_features, n_points), default=None
        Values of the features; None for images.

    contributions : ndarray of shape (n_units, n_points), default=None
        Values of each unit times its weight in the output; drawn if there is one feature.

    intercept : float, default=None
        What is added to the contributions.

    output_name : str, default="output"
        What the contributions add up to.

    feature_names : list of str, default=None
        Names of the features; "x0" and "x1" by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.

    axes_ : ndarray of matplotlib Axes of shape (n_axes,)
        Axes with the values and, if there are any, those with the contributions; or one for each
        map or image.

    figure_ : matplotlib Figure
        Figure with the axes.

    shown_units_ : ndarray
        Which units are drawn.

    lines_ : list of matplotlib Line2D
        Values of each unit along one feature.

    contribution_lines_ : list of matplotlib Line2D
        Contributions of each unit to the output.

    output_line_ : matplotlib Line2D
        The sum of the contributions of all units, drawn or not, and the intercept.

    images_ : list of matplotlib AxesImage
        Maps of two features, or weights.

    colorbar_ : matplotlib Colorbar or None
        Scale of the maps or images, if they have one in common.

    See Also
    --------
    NetworkDisplay : The units and weights as a diagram.
    DecisionRegionDisplay : What the units make of two features together.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from torchmlp import TorchMLPRegressor
    >>> from torchmlp.inspection import HiddenFeaturesDisplay
    >>> X = np.linspace(-3, 3, 200)[:, np.newaxis]
    >>> reg = TorchMLPRegressor(hidden_layer_sizes=(6,), solver="lbfgs", random_state=0)
    >>> reg = reg.fit(X, np.sin(X.ravel()))
    >>> display = HiddenFeaturesDisplay.from_estimator(reg, X)
    >>> total = display.contributions.sum(axis=0) + display.intercept
    >>> np.allclose(total, reg.predict(display.grid.T))
    True
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        values,
        strength,
        grid=None,
        contributions=None,
        intercept=None,
        output_name="output",
        feature_names=None,
    ):
        self.values = values
        self.strength = strength
        self.grid = grid
        self.contributions = contributions
        self.intercept = intercept
        self.output_name = output_name
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        layer=-1,
        output=0,
        image_shape=None,
        grid_resolution=200,
        margin=0.0,
        feature_names=None,
        ax=None,
        **kwargs,
    ):
        """Draw what the hidden units of a fitted network compute.

        Parameters
        ----------
        estimator : estimator
            A fitted MLP of torchmlp or scikit-learn, or a Pipeline, a search or a
            TransformedTargetRegressor with one in it. The features are those that the estimator
            gets, and the output is that of the network, before the inverse transformation of a
            TransformedTargetRegressor.
        X : array-like of shape (n_samples, 1) or (n_samples, 2), default=None
            Data whose range is drawn. Not used with `image_shape`.
        layer : int, default=-1
            Index of the hidden layer; the last by default. Only its units have contributions to
            an output. Not used with `image_shape`, which shows the first.
        output : int, default=0
            Index of the output that the contributions add up to, for several.
        image_shape : tuple of int, default=None
            Height and width of the images that the network was fitted on.
        grid_resolution : int, default=200
            Number of points along each feature.
        margin : float, default=0.0
            By which share of its length to widen the range of X at both ends.
        feature_names : list of str, default=None
            Names of the features: by default those of the columns the estimator was fitted on, or
            "x0" and "x1".
        ax : matplotlib Axes, or array-like of Axes, default=None
            Where to draw, as in :meth:`plot`.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : HiddenFeaturesDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no multilayer perceptron.
        ValueError
            If the network has no such layer or output, or its inputs can not be drawn.
        """
        model = find_model(estimator)
        if image_shape is not None:
            return cls(**features_of_images(model, image_shape)).plot(ax, **kwargs)
        if X is None:
            raise ValueError("X=None needs image_shape. Give X with one or two features, or both.")
        found = features_of_inputs(
            model,
            X,
            layer=layer,
            output=output,
            grid_resolution=grid_resolution,
            margin=margin,
        )
        default = getattr(estimator, "feature_names_in_", None)
        names = checked_names("feature_names", feature_names, len(found["grid"]), default)
        return cls(**found, feature_names=names).plot(ax, **kwargs)

    def plot(
        self, ax=None, *, max_units=16, scale="layer", line_kw=None, output_kw=None, image_kw=None
    ):
        """Draw the curves, maps or images.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of Axes, default=None
            Where to draw. One axes is divided into as many as are needed, and titles are then for
            `axes_`; several are as many. None is a new figure.
        max_units : int or None, default=16
            Of more units, the strongest are drawn: those whose values vary most, times the norm
            of their weights in the next layer. None draws all.
        scale : {"layer", "unit"}, default="layer"
            Whether the colours of a map or image are relative to the largest value of all that
            are drawn, with a colour bar, or to its own.
        line_kw : dict, default=None
            Style of the curves, as for :class:`matplotlib.lines.Line2D`.
        output_kw : dict, default=None
            Style of the output's curve.
        image_kw : dict, default=None
            Style of the maps and images, as for :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : HiddenFeaturesDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `max_units` is less than 1, `scale` is neither, or `ax` has another number of axes
            than are needed.
        """
        check_choice("scale", scale, ("layer", "unit"))
        self.shown_units_ = strongest(self.strength, max_units)
        if np.ndim(self.values) == 2:
            self._draw_curves(ax, line_kw, output_kw)
        else:
            self._draw_images(ax, scale, image_kw)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        return self

    def _draw_curves(self, ax, line_kw, output_kw):
        from matplotlib.lines import Line2D

        n_axes = 1 if self.contributions is None else 2
        self.axes_ = grid_of_axes(ax, n_axes, n_axes, figsize=(5 * n_axes, 3.6))
        styles = [
            merged(Line2D, {"linewidth": 1.2, **style}, line_kw)
            for style in unit_styles(len(self.shown_units_))
        ]

        def draw(ax, curves):
            shown = zip(self.shown_units_, styles, strict=True)
            return [ax.plot(self.grid[0], curves[unit], **style)[0] for unit, style in shown]

        self.lines_ = draw(self.axes_[0], self.values)
        self.axes_[0].set_ylabel("value of each unit" + self._how_many())
        (name,) = checked_names("feature_names", self.feature_names, 1)
        for each in self.axes_:
            each.set_xlabel(name)
        if self.contributions is not None:
            self.contribution_lines_ = draw(self.axes_[1], self.contributions)
            self._draw_output(self.axes_[1], output_kw)

    def _draw_output(self, ax, style):
        import matplotlib as mpl
        from matplotlib.lines import Line2D

        color = mpl.rcParams["text.color"]
        ax.axhline(self.intercept, color=color, linewidth=0.8, linestyle=":", label="intercept")
        total = np.sum(self.contributions, axis=0) + self.intercept
        defaults = {"color": color, "linewidth": 2.5, "label": self.output_name}
        (self.output_line_,) = ax.plot(self.grid[0], total, **merged(Line2D, defaults, style))
        ax.set_ylabel("value times weight")
        legend_beside(ax)

    def _draw_images(self, ax, scale, style):
        from matplotlib.image import AxesImage

        units = self.shown_units_
        n_columns = columns_for(len(units), ax)
        size = (1.5 * n_columns + 1.2, 1.5 * -(-len(units) // n_columns))
        self.axes_ = grid_of_axes(ax, len(units), n_columns, figsize=size)
        defaults = {"cmap": sign_colormap(), "origin": "upper"}
        if self.grid is not None:
            defaults |= {"origin": "lower", "extent": image_extent(self.grid), "aspect": "auto"}
        self.images_ = []
        for unit, each in zip(units, self.axes_, strict=True):
            limit = limit_of(self.values[units] if scale == "layer" else [self.values[unit]])
            own = {**defaults, "vmin": -limit, "vmax": limit}
            image = each.imshow(self.values[unit], **merged(AxesImage, own, style))
            each.set_title(f"unit {unit}", fontsize="small", pad=3)
            self.images_.append(image)
        self._label_panels(n_columns)
        self.colorbar_ = self._draw_colorbar() if scale == "layer" else None

    def _draw_colorbar(self):
        label = ("weight" if self.grid is None else "value of the unit") + self._how_many()
        figure = self.axes_[0].figure
        colorbar = figure.colorbar(self.images_[0], ax=list(self.axes_), label=label)
        if np.min(self.values) >= 0:
            colorbar.ax.set_ylim(0, None)  # as after relu: nothing is negative
        return colorbar

    def _label_panels(self, n_columns):
        """Leave ticks to the panels at the left and bottom, and none to images."""
        if self.grid is None:
            for each in self.axes_:
                each.set(xticks=[], yticks=[])
            return
        names = checked_names("feature_names", self.feature_names, 2)
        for i, each in enumerate(self.axes_):
            left, bottom = i % n_columns == 0, i + n_columns >= len(self.axes_)
            each.tick_params(labelleft=left, labelbottom=bottom)
            each.set(xlabel=names[0] if bottom else "", ylabel=names[1] if left else "")

    def _how_many(self):
        n_shown, n_units = len(self.shown_units_), len(self.values)
        return "" if n_shown == n_units else f" ({n_shown} of {n_units} units)"
