"""LossCurveDisplay: loss and validation score during training."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from torchmlp import _typing as t
from torchmlp.constraints import uses_lbfgs
from torchmlp.inspection.models import find_model
from torchmlp.inspection.style import (
    NEUTRAL,
    checked_colors,
    grid_of_axes,
    label_log_axis,
    legend_beside,
    merge_style,
)


def loss_curves(estimators):
    """Return the loss curves and validation scores of several networks.

    Parameters
    ----------
    estimators : dict of str to estimator

    Returns
    -------
    dict
        The parameters of :class:`LossCurveDisplay`.

    Raises
    ------
    ValueError
        If there are no estimators, or one has no loss curve.
    """
    if not estimators:
        raise ValueError("estimator={} is empty. Pass at least one fitted estimator.")
    models = {str(name): find_model(estimator).mlp for name, estimator in estimators.items()}
    for name, mlp in models.items():
        if not hasattr(mlp, "loss_curve_"):
            raise ValueError(
                f"estimator {name!r} has no loss_curve_: scikit-learn does not set it for "
                "solver='lbfgs'. Use solver='adam' or 'sgd', or torchmlp's estimator."
            )
        if not len(mlp.loss_curve_):
            raise ValueError(
                f"estimator {name!r} has an empty loss_curve_: its training was stopped before the "
                "first epoch or iteration was completed. Increase time_limit and fit again."
            )

    def curves(attribute):
        by_name = {name: getattr(mlp, attribute, None) for name, mlp in models.items()}
        return {name: np.asarray(curve) for name, curve in by_name.items() if curve is not None}

    scores = curves("validation_scores_")
    solvers = {"iteration" if uses_lbfgs(mlp) else "epoch" for mlp in models.values()}
    return {
        "loss": curves("loss_curve_"),
        "validation_loss": curves("validation_loss_curve_"),
        "validation_score": scores,
        "step_name": " or ".join(sorted(solvers)),
        "score_name": _unique_or({_score_name(models[name]) for name in scores}, "score"),
    }


def _score_name(mlp):
    if mlp.scoring is None:
        return mlp._encoder.score_name
    if mlp.scoring == "loss":
        return "negative loss"
    return "score" if callable(mlp.scoring) else mlp.scoring.replace("_", " ")


def _unique_or(names, default):
    return names.pop() if len(names) == 1 else default


class LossCurveDisplay:
    """Training loss, validation loss and validation score of each epoch.

    One or several networks can be drawn. The training loss includes the L2 penalty and is computed
    with dropout; the validation loss is computed without either.

    It is recommended to use :meth:`~torchmlp.inspection.LossCurveDisplay.from_estimator` to create
    a :class:`LossCurveDisplay`. All parameters are stored as attributes.

    Parameters
    ----------
    loss : dict of str to array-like of shape (n_epochs,)
        Training loss of each network, by name.

    validation_loss : dict of str to array-like of shape (n_epochs,), default=None
        Validation loss of each network that has validation data, by name. A curve shorter than the
        training loss is drawn at the last epochs.

    validation_score : dict of str to array-like of shape (n_epochs,), default=None
        Validation score of each network that uses early stopping, by name.

    step_name : str, default="epoch"
        Label of the x axis.

    score_name : str, default="score"
        Name of the validation score, for the label of its y axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.

    axes_ : ndarray of matplotlib Axes of shape (1,) or (2,)
        `ax_` and, if there are validation scores, the axes below it with the scores.

    figure_ : matplotlib Figure
        Figure containing the axes.

    lines_, validation_lines_, score_lines_ : dict of str to matplotlib Line2D
        Curves of the training loss, validation loss and validation score, by name of the network.
        A dot marks the best score, the epoch whose weights early stopping restores.

    legend_ : matplotlib Legend or None
        Legend of the curves. None if there is only one loss curve.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Score as a function of the number of training
        samples.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.inspection import LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchMLPClassifier(
    ...     max_iter=500, learning_rate_init=0.01, early_stopping=True, random_state=0
    ... ).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(clf, yscale="log")
    >>> display.axes_.shape
    (2,)
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        loss: t.Curves,
        validation_loss: t.Curves | None = None,
        validation_score: t.Curves | None = None,
        step_name: str = "epoch",
        score_name: str = "score",
    ) -> None:
        self.loss = loss
        self.validation_loss = validation_loss
        self.validation_score = validation_score
        self.step_name = step_name
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: t.AxesLike = None, **kwargs: Any) -> Self:
        """Create the display from one or several fitted estimators, and draw it.

        Parameters
        ----------
        estimator : estimator, or dict of str to estimator
            A fitted MLP of torchmlp or scikit-learn, or a Pipeline, search or
            TransformedTargetRegressor that contains one. The keys of a dict are the names in the
            legend. Losses and scores are those of the network, computed on the transformed
            targets if there is a target transformer.
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on, as in :meth:`plot`.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        TypeError
            If an estimator is not a multilayer perceptron.
        ValueError
            If an estimator has no `loss_curve_`, such as a scikit-learn MLP with
            ``solver='lbfgs'``.
        """
        if isinstance(estimator, (list, tuple)):
            raise TypeError(
                f"estimator={estimator!r} must be an estimator or a dict. Pass several estimators "
                "as a dict of their names to the estimators."
            )
        several = estimator if isinstance(estimator, dict) else {"training": estimator}
        return cls(**loss_curves(several)).plot(ax, **kwargs)

    def plot(
        self,
        ax: t.AxesLike = None,
        *,
        yscale: Literal["linear", "log"] = "linear",
        colors: Sequence[Any] | None = None,
        legend: bool = True,
        line_kw: t.Style = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on. If there are validation scores, a single axes is divided into two, one
            above the other; set the title on `ax_` in that case. If `None`, a new figure is
            created.
        yscale : {"linear", "log"}, default="linear"
            Scale of the loss axis.
        colors : list of color, default=None
            Color of each network. If `None`, default colors are used.
        legend : bool, default=True
            Whether to draw a legend if there is more than one loss curve.
        line_kw : dict, default=None
            Keyword arguments for all curves, passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display.

        Raises
        ------
        ValueError
            If the length of `colors` is not the number of networks.
        """
        from matplotlib.lines import Line2D

        checked = checked_colors(colors, len(self.loss), "networks")
        color_of = dict(zip(self.loss, checked, strict=True))
        scores = self.validation_score or {}
        ratios = {"height_ratios": (2, 1)} if scores else {}
        self.axes_ = grid_of_axes(ax, 2 if scores else 1, 1, **ratios)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        def draw(ax, curves, **style):
            lines = {}
            for name, values in curves.items():
                n_steps = len(self.loss[name])
                steps = np.arange(n_steps - len(values), n_steps) + 1
                defaults = {"color": color_of[name], "label": name, **style}
                (lines[name],) = ax.plot(steps, values, **merge_style(Line2D, defaults, line_kw))
            return lines

        self.lines_ = draw(self.ax_, self.loss)
        self.validation_lines_ = draw(self.ax_, self.validation_loss or {}, linestyle="--")
        self.score_lines_ = draw(self.axes_[-1], scores, linestyle="--", marker="o", markersize=4)
        for line in self.score_lines_.values():
            line.set_markevery([int(np.argmax(line.get_ydata()))])
        self.ax_.set(yscale=yscale, ylabel="loss")
        if yscale == "log":
            label_log_axis(self.ax_.yaxis)
        if scores:
            self.axes_[1].sharex(self.ax_)
            self.ax_.tick_params(labelbottom=False)
            self.axes_[1].set_ylabel(f"validation\n{self.score_name}")
        self.axes_[-1].set_xlabel(self.step_name)
        self.legend_ = self._draw_legend() if legend else None
        return self

    def _draw_legend(self):
        from matplotlib.lines import Line2D

        handles = list(self.lines_.values())
        if self.validation_lines_:
            color = NEUTRAL if len(handles) > 1 else handles[0].get_color()
            handles.append(Line2D([], [], color=color, linestyle="--", label="validation"))
        return legend_beside(self.ax_, handles) if len(handles) > 1 else None
