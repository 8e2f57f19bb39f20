"""Plot of the ratios of a section with error bars for the spread over the rounds."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.report import caption, ratios

# Colors of Okabe and Ito with distinct markers, suitable for color-blind readers.
STYLES = (
    ("#0072B2", "o"),
    ("#56B4E9", "s"),
    ("#009E73", "^"),
    ("#E69F00", "D"),
    ("#D55E00", "v"),
    ("#CC79A7", "P"),
    ("#999999", "X"),
)
ROW_INCHES = 0.42  # height of a row
MEAN = "geometric mean"
SPREAD = 0.7  # fraction of the height that is covered by markers


def draw(contents, path, reference="torchmlp"):
    """Draw the ratios of each problem, and their geometric mean if given, on a logarithmic axis.

    Parameters
    ----------
    contents : dict
        Results of `report.document`.
    path : Path
        Path of the PNG or SVG file.
    reference : str
        What the times are relative to.
    """
    drawn = {column: ratios(contents, column) for column in contents["columns"]}
    drawn = {column: by_problem for column, by_problem in drawn.items() if by_problem}
    names = [row["name"] for row in contents["rows"]]
    means = contents.get("geometric means", {})
    if means:
        names.append(MEAN)
    figure = Figure(figsize=(9, 1.8 + ROW_INCHES * len(names)), layout="constrained")
    ax = figure.add_subplot()
    for i, (column, (color, marker)) in enumerate(zip(drawn, STYLES, strict=False)):
        shift = SPREAD * ((i + 0.5) / len(drawn) - 0.5)
        heights = [names.index(name) + shift for name in drawn[column]]
        _draw_ratios(ax, drawn[column].values(), heights, color, marker)
        mean = (means[column]["median"], names.index(MEAN) + shift) if means else ([], [])
        ax.plot(*mean, marker, color=color, label=column)
    _style_axes(ax, names, reference)
    ax.set_title(contents["title"])
    figure.legend(loc="outside upper center", ncols=min(3, len(drawn)), frameon=False)
    figure.text(0.01, -0.01, caption(contents), fontsize=6, va="top", wrap=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def _draw_ratios(ax, values, heights, color, marker):
    medians = [ratio.median for ratio in values]
    below = [ratio.median - ratio.low for ratio in values]
    above = [ratio.high - ratio.median for ratio in values]
    style = {"color": color, "marker": marker, "markersize": 4, "linestyle": "none"}
    ax.errorbar(medians, heights, xerr=(below, above), elinewidth=1, **style)


def _style_axes(ax, names, reference):
    ax.axvline(1, color="black", linewidth=1)
    for boundary in range(len(names) - 1):
        ax.axhline(boundary + 0.5, color="#dddddd", linewidth=0.6, zorder=0)
    if MEAN in names:
        ax.axhline(names.index(MEAN) - 0.5, color="black", linewidth=0.6)
    ax.set(xscale="log", yticks=range(len(names)), yticklabels=names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(f"time relative to {reference} (logarithmic)")
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.grid(axis="x", which="both", color="#eeeeee", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
