"""HiddenFeaturesDisplay: the functions computed by hidden units."""

from typing import Any, Literal, Self

import numpy as np

from torchmlp import _typing as t
from torchmlp.inspection.features import features_of_images, features_of_inputs, strongest_units
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.style import (
    check_choice,
    grid_columns,
    grid_of_axes,
    image_extent,
    legend_beside,
    max_abs,
    merge_style,
    sign_colormap,
    unit_styles,
)


class HiddenFeaturesDisplay:
    """Functions computed by the units of a hidden layer.

    - With one feature: a curve of the activation of each unit. For the last hidden layer, a second
      axes shows the contribution of each unit to the output, its activation times its outgoing
      weight. The contributions and the intercept add up to the output.
    - With two features: an image of the activation of each unit. Positive values are green,
      negative values are purple.
    - For images: the weights of each unit of the first hidden layer as an image, in the same
      colors.

    It is recommended to use :meth:`~torchmlp.inspection.HiddenFeaturesDisplay.from_estimator` to
    create a :class:`HiddenFeaturesDisplay`. All parameters are stored as attributes.

    Parameters
    ----------
    values : ndarray of shape (n_units, n_points), (n_units, n_points, n_points) or \
            (n_units, height, width)
        Activation of each unit on the grid, or its weights as an image. With two features, the
        last axis is the first feature.

    strength : array-like of shape (n_units,)
        Importance of each unit. If there are more than `max_units` units, those with the largest
        strength are drawn.

    grid : ndarray of shape (n_features, n_points), default=None
        Values of each feature at which the activations are computed. None for images.

    contributions : ndarray of shape (n_units, n_points), default=None
        Activation of each unit times its outgoing weight. Only with one feature.

    intercept : float, default=None
        Intercept of the output.

    output_name : str, default="output"
        Name of the output, for the legend.

    feature_names : list of str, default=None
        Names of the features. By default, "x0" and "x1".

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.

    axes_ : ndarray of matplotlib Axes of shape (n_axes,)
        With one feature, the axes with the activations and, if any, those with the contributions.
        Otherwise one axes per image.

    figure_ : matplotlib Figure
        Figure containing the axes.

    shown_units_ : ndarray
        Indices of the units that are drawn.

    lines_ : list of matplotlib Line2D
        Activation curve of each unit. Only with one feature.

    contribution_lines_ : list of matplotlib Line2D
        Contribution of each unit to the output. Only if `contributions` is given.

    output_line_ : matplotlib Line2D
        Sum of the intercept and the contributions of all units, including those that are not
        drawn. Only if `contributions` is given.

    images_ : list of matplotlib AxesImage
        Image of the activation or the weights of each unit.

    colorbar_ : matplotlib Colorbar or None
        Common color bar of the images. None with ``scale="unit"``.

    See Also
    --------
    NetworkDisplay : Diagram of the units and weights.
    DecisionRegionDisplay : Decision regions and boundaries of hidden units.

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
        values: t.Array,
        strength: t.Vector,
        grid: t.Array | None = None,
        contributions: t.Array | None = None,
        intercept: float | None = None,
        output_name: str = "output",
        feature_names: t.Names | None = None,
    ) -> None:
        self.values = values
        self.strength = strength
        self.grid: Any = grid  # None for images
        self.contributions: Any = contributions  # None unless there is one feature
        self.intercept = intercept
        self.output_name = output_name
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: t.Matrix | None = None,
        *,
        layer: int = -1,
        output: int = 0,
        image_shape: tuple[int, ...] | None = None,
        grid_resolution: int = 200,
        margin: float = 0.0,
        feature_names: t.Names | None = None,
        ax: t.AxesLike = None,
        **kwargs: Any,
    ) -> Self:
        """Create the display from a fitted estimator, and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted MLP of torchmlp or scikit-learn, or a Pipeline, search or
            TransformedTargetRegressor that contains one. Features are the inputs of `estimator` as
            a whole. The output is that of the network, before any inverse transformation by a
            TransformedTargetRegressor.
        X : array-like of shape (n_samples, 1) or (n_samples, 2), default=None
            Samples whose range determines the grid. Ignored if `image_shape` is given.
        layer : int, default=-1
            Index of the hidden layer. By default the last one, the only one for which
            contributions to the output are computed. Ignored if `image_shape` is given: then it is
            the first.
        output : int, default=0
            Index of the output for which contributions are computed.
        image_shape : tuple of int, default=None
            Height and width of the images that the network was fitted on.
        grid_resolution : int, default=200
            Number of grid points along each feature.
        margin : float, default=0.0
            Fraction of the range of X by which the grid extends beyond it at both ends.
        feature_names : list of str, default=None
            Names of the features. By default, `feature_names_in_` of the estimator if defined,
            else "x0" and "x1".
        ax : matplotlib Axes, or array-like of Axes, default=None
            Axes to plot on, as in :meth:`plot`.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : HiddenFeaturesDisplay
            The display.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not a multilayer perceptron.
        ValueError
            If `layer` or `output` is out of range, neither `X` nor `image_shape` is given, X has
            more than two features, or `image_shape` does not match the number of inputs.
        """
        model = find_model(estimator)
        if image_shape is not None:
            return cls(**features_of_images(model, image_shape)).plot(ax, **kwargs)
        if X is None:
            raise ValueError(
                "X=None requires image_shape. Pass X with one or two features, or image_shape."
            )
        data = features_of_inputs(
            model,
            X,
            layer=layer,
            output=output,
            grid_resolution=grid_resolution,
            margin=margin,
        )
        default = getattr(estimator, "feature_names_in_", None)
        names = checked_names("feature_names", feature_names, len(data["grid"]), default)
        return cls(**data, feature_names=names).plot(ax, **kwargs)

    def plot(
        self,
        ax: t.AxesLike = None,
        *,
        max_units: int | None = 16,
        scale: Literal["layer", "unit"] = "layer",
        line_kw: t.Style = None,
        output_kw: t.Style = None,
        image_kw: t.Style = None,
    ) -> Self:
        """Draw the curves or images.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of Axes, default=None
            Axes to plot on. A single axes is divided into the required number; set titles on
            `axes_` in that case. Several axes must be of the required number. If `None`, a new
            figure is created.
        max_units : int or None, default=16
            Maximum number of units to draw. If there are more, the units with the largest strength
            are drawn: the standard deviation of the activation times the norm of the outgoing
            weights. If `None`, all units are drawn.
        scale : {"layer", "unit"}, default="layer"
            Whether the colors of an image are relative to the largest absolute value of all
            drawn units, with a common color bar, or of the same unit.
        line_kw : dict, default=None
            Keyword arguments for the curves of the units, passed to
            :meth:`matplotlib.axes.Axes.plot`.
        output_kw : dict, default=None
            Keyword arguments for the curve of the output, passed to
            :meth:`matplotlib.axes.Axes.plot`.
        image_kw : dict, default=None
            Keyword arguments for the images, passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : HiddenFeaturesDisplay
            The display.

        Raises
        ------
        ValueError
            If `max_units` is less than 1, `scale` is invalid, or `ax` does not have the required
            number of axes.
        """
        check_choice("scale", scale, ("layer", "unit"))
        self.shown_units_ = strongest_units(self.strength, max_units)
        if np.ndim(self.values) == 2:
            self._draw_curves(ax, line_kw, output_kw)
        else:
            self._draw_images(ax, scale, image_kw)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        return self

    def _draw_curves(self, ax, line_kw, output_kw):
        from matplotlib.lines import Line2D

        n_axes = 1 if self.contributions is None else 2
        self.axes_ = grid_of_axes(ax, n_axes, n_axes, figsize=(5 * n_axes, 3.6))
        styles = [
            merge_style(Line2D, {"linewidth": 1.2, **style}, line_kw)
            for style in unit_styles(len(self.shown_units_))
        ]

        def draw(ax, curves):
            shown = zip(self.shown_units_, styles, strict=True)
            return [ax.plot(self.grid[0], curves[unit], **style)[0] for unit, style in shown]

        self.lines_ = draw(self.axes_[0], self.values)
        self.axes_[0].set_ylabel("value of each unit" + self._count_label())
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
        (self.output_line_,) = ax.plot(self.grid[0], total, **merge_style(Line2D, defaults, style))
        ax.set_ylabel("contributions and their sum")
        legend_beside(ax)

    def _draw_images(self, ax, scale, style):
        from matplotlib.image import AxesImage

        units = self.shown_units_
        n_columns = grid_columns(len(units), ax)
        size = (1.5 * n_columns + 1.2, 1.5 * -(-len(units) // n_columns))
        self.axes_ = grid_of_axes(ax, len(units), n_columns, figsize=size)
        defaults = {"cmap": sign_colormap(), "origin": "upper"}
        if self.grid is not None:
            defaults |= {"origin": "lower", "extent": image_extent(self.grid), "aspect": "auto"}
        self.images_ = []
        for unit, each in zip(units, self.axes_, strict=True):
            limit = max_abs(self.values[units] if scale == "layer" else [self.values[unit]])
            own = {**defaults, "vmin": -limit, "vmax": limit}
            image = each.imshow(self.values[unit], **merge_style(AxesImage, own, style))
            each.set_title(f"unit {unit}", fontsize="small", pad=3)
            self.images_.append(image)
        self._label_panels(n_columns)
        self.colorbar_ = self._draw_colorbar() if scale == "layer" else None

    def _draw_colorbar(self):
        label = ("weight" if self.grid is None else "value of the unit") + self._count_label()
        figure = self.axes_[0].figure
        colorbar = figure.colorbar(self.images_[0], ax=list(self.axes_), label=label)
        if np.min(self.values) >= 0:
            colorbar.ax.set_ylim(0, None)  # no negative values, for example after relu
        return colorbar

    def _label_panels(self, n_columns):
        """Label the left and bottom axes only, and remove all ticks from images."""
        if self.grid is None:
            for each in self.axes_:
                each.set(xticks=[], yticks=[])
            return
        names = checked_names("feature_names", self.feature_names, 2)
        for i, each in enumerate(self.axes_):
            left, bottom = i % n_columns == 0, i + n_columns >= len(self.axes_)
            each.tick_params(labelleft=left, labelbottom=bottom)
            each.set(xlabel=names[0] if bottom else "", ylabel=names[1] if left else "")

    def _count_label(self):
        n_shown, n_units = len(self.shown_units_), len(self.values)
        return "" if n_shown == n_units else f" ({n_shown} of {n_units} units)"
