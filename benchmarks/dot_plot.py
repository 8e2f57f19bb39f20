"""Plot of the test scores of a section, with one panel per problem and the seconds of a fit."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from benchmarks.measure import Score
from benchmarks.report import caption

OURS, OTHERS = "#0072B2", "#666666"
COLUMNS = 2
ROW_INCHES = 0.23  # height of a model
LOG_RATIO = 4  # the axis is logarithmic if the largest score exceeds this times the smallest


def draw(contents, path):
    """Draw mean and standard deviation of the scores of each model.

    Parameters
    ----------
    contents : dict
        Results of `report.document`, whose rows have scores.
    path : Path
        Path of the PNG or SVG file.
    """
    models, rows = contents["columns"], contents["rows"]
    n_lines = -(-len(rows) // COLUMNS)
    height = n_lines * (0.75 + ROW_INCHES * len(models)) + 0.4
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots(n_lines, COLUMNS, squeeze=False, sharey=True).flat
    for ax, row in zip(axes, rows, strict=False):
        scores = {name: Score(**score) for name, score in row["scores"].items()}
        for name, score in scores.items():
            _draw_score(ax, models.index(name), score, _color(name))
        _style_axes(ax, row["name"], models, [score.mean for score in scores.values()])
    for ax in list(axes)[len(rows) :]:
        ax.remove()
    figure.suptitle(contents["title"])
    figure.text(0.01, -0.01, caption(contents), fontsize=6, va="top", wrap=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def _color(name):
    return OURS if name in ("tabular_pipeline", "TorchMLP") else OTHERS


def _draw_score(ax, height, score, color):
    ax.errorbar(score.mean, height, xerr=score.deviation, fmt="o", markersize=4, color=color)
    _note(ax, height, score.time)


def _note(ax, height, text):
    ax.text(1.01, height, text, transform=ax.get_yaxis_transform(), fontsize=7, va="center")


def _style_axes(ax, title, models, means):
    ax.set_title(title, fontsize=9)
    _note(ax, -0.8, "fit")
    ax.set_yticks(range(len(models)), models, fontsize=8)
    for label in ax.get_yticklabels():
        label.set_color(_color(label.get_text()))
    ax.set_ylim(len(models) - 0.5, -0.5)
    if max(means) > LOG_RATIO * min(means) > 0:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    ax.grid(color="#eeeeee", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
