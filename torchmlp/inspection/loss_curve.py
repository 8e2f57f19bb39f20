"""LossCurveDisplay: how training went."""

import numpy as np
from sklearn.base import is_classifier

from torchmlp.inspection.models import find_model
from torchmlp.inspection.style import (
    NEUTRAL,
    distinct_colors,
    grid_of_axes,
    legend_beside,
    merged,
)


def loss_curves(estimators):
    """Return what there is to draw of the training of several networks.

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
        raise ValueError("estimator={} is empty. Give at least one fitted estimator.")
    models = {str(name): find_model(estimator).mlp for name, estimator in estimators.items()}
    for name, mlp in models.items():
        if not len(getattr(mlp, "loss_curve_", [])):
            raise ValueError(
                f"estimator {name!r} has no loss_curve_: scikit-learn keeps none for "
                "solver='lbfgs'. Use solver='adam' or 'sgd', or torchmlp's estimator."
            )

    def curves(attribute):
        found = {name: getattr(mlp, attribute, None) for name, mlp in models.items()}
        return {name: np.asarray(curve) for name, curve in found.items() if curve is not None}

    scores = curves("validation_scores_")
    solvers = {"iteration" if mlp.solver == "lbfgs" else "epoch" for mlp in models.values()}
    return {
        "loss": curves("loss_curve_"),
        "validation_loss": curves("validation_loss_curve_"),
        "validation_score": scores,
        "step_name": " or ".join(sorted(solvers)),
        "score_name": _only({_score_name(models[name]) for name in scores}, "score"),
    }


def _score_name(mlp):
    if mlp.scoring is None:
        return "accuracy" if is_classifier(mlp) else "R²"
    if mlp.scoring == "loss":
        return "negative loss"
    return "score" if callable(mlp.scoring) else mlp.scoring.replace("_", " ")


def _only(names, otherwise):
    return names.pop() if len(names) == 1 else otherwise


class LossCurveDisplay:
    """Loss of each epoch, in training and on validation data, and the validation score.

    The training loss has the penalty of `alpha` in it, and that of dropped units; the validation
    loss has neither. One network, or several in one picture. It is recommended to use
    :meth:`~torchmlp.inspection.LossCurveDisplay.from_estimator`. All parameters are stored as
    attributes.

    Parameters
    ----------
    loss : dict of str to array-like of shape (n_epochs,)
        Training loss of each network by its name.

    validation_loss : dict of str to array-like of shape (n_epochs,), default=None
        Loss of the validation data, of those networks that had any. A shorter curve than the
        training loss is of the last epochs.

    validation_score : dict of str to array-like of shape (n_epochs,), default=None
        Score of the validation data, of those networks that stopped early.

    step_name : str, default="epoch"
        What a step along the x axis is.

    score_name : str, default="score"
        What the score is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.

    axes_ : ndarray of matplotlib Axes of shape (1,) or (2,)
        `ax_` and, if there are scores, the axes with them below it.

    figure_ : matplotlib Figure
        Figure with the curves.

    lines_, validation_lines_, score_lines_ : dict of str to matplotlib Line2D
        The curves by the name of the network. A dot marks the best score: the epoch whose weights
        early stopping keeps.

    legend_ : matplotlib Legend or None
        What is what, where there is more than one loss curve.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : The score for several sizes of training data.

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
        loss,
        validation_loss=None,
        validation_score=None,
        step_name="epoch",
        score_name="score",
    ):
        self.loss = loss
        self.validation_loss = validation_loss
        self.validation_score = validation_score
        self.step_name = step_name
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw how the training of one or several networks went.

        Parameters
        ----------
        estimator : estimator, or dict of str to estimator
            Fitted MLPs of torchmlp or scikit-learn, or Pipelines, searches or
            TransformedTargetRegressors with one in it; several by the names they get in the
            legend. Losses and scores are those of the network, for transformed targets if they
            are.
        ax : matplotlib Axes, or array-like of two, default=None
            Where to draw, as in :meth:`plot`.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        TypeError
            If it is no multilayer perceptron.
        ValueError
            If it has no loss curve, as scikit-learn's with ``solver='lbfgs'``.
        """
        if isinstance(estimator, (list, tuple)):
            raise TypeError(
                f"estimator={estimator!r} is a list. Give several as a dict, by their names."
            )
        several = estimator if isinstance(estimator, dict) else {"training": estimator}
        return cls(**loss_curves(several)).plot(ax, **kwargs)

    def plot(self, ax=None, *, yscale="linear", legend=True, line_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two, default=None
            Where to draw. If there are scores, one axes is divided into two, above each other, and
            a title is then for `ax_`. None is a new figure.
        yscale : {"linear", "log"}, default="linear"
            Scale of the losses.
        legend : bool, default=True
            Whether to say what is what, where there is more than one loss curve.
        line_kw : dict, default=None
            Style of all lines, as for :class:`matplotlib.lines.Line2D`.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.
        """
        from matplotlib.lines import Line2D

        scores = self.validation_score or {}
        ratios = {"height_ratios": (2, 1)} if scores else {}
        self.axes_ = grid_of_axes(ax, 2 if scores else 1, 1, **ratios)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        colors = dict(zip(self.loss, distinct_colors(len(self.loss)), strict=True))

        def draw(ax, curves, **style):
            lines = {}
            for name, values in curves.items():
                n_steps = len(self.loss[name])
                steps = np.arange(n_steps - len(values), n_steps) + 1
                defaults = {"color": colors[name], "label": name, **style}
                (lines[name],) = ax.plot(steps, values, **merged(Line2D, defaults, line_kw))
            return lines

        self.lines_ = draw(self.ax_, self.loss)
        self.validation_lines_ = draw(self.ax_, self.validation_loss or {}, linestyle="--")
        self.score_lines_ = draw(self.axes_[-1], scores, linestyle="--", marker="o", markersize=4)
        for line in self.score_lines_.values():
            line.set_markevery([int(np.argmax(line.get_ydata()))])
        self.ax_.set(yscale=yscale, ylabel="loss")
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
