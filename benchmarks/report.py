"""What is left of a run: JSON, and the same as a table in Markdown."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np

from benchmarks.fits import RATIOS
from benchmarks.machine import line, versions
from benchmarks.measure import Ratio

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
MEAN = "geometric mean (smallest\N{EN DASH}largest)"
DIGITS = 4  # of every number that is kept


def document(name, section, rows, plan, described):
    """Return what a section measured, as a dict that JSON can hold.

    Parameters
    ----------
    name : str
    section : module
        With ``TITLE``, ``MEANS`` and ``columns``.
    rows : list of Row
    plan : Plan
    described : dict
        What `machine` returned before the run.
    """
    contents = {
        "section": name,
        "title": section.TITLE,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": described,
        "versions": versions(),
        "quick": plan.quick,
        "columns": section.columns(plan),
        "rows": [asdict(row) for row in rows],
    }
    if section.MEANS:
        contents["geometric means"] = {
            column: asdict(geometric_mean(ratios(contents, column).values()))
            for column in contents["columns"]
            if ratios(contents, column)
        }
    return rounded(contents)


def rounded(value):
    """Return the value with its numbers rounded, so that what is printed is what is saved."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def save(contents, folder):
    """Write a section's JSON, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{contents['section']}.json"
    path.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    return path


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def ratios(contents, column):
    """Return the ratios of a column by problem, of those that have one."""
    return {
        row["name"]: Ratio(**row["ratios"][column])
        for row in contents["rows"]
        if column in row["ratios"]
    }


def geometric_mean(several):
    """Return the geometric mean of ratios, between the smallest and the largest of them."""
    medians = np.array([ratio.median for ratio in several])
    mean = np.exp(np.log(medians).mean())
    return Ratio(float(medians.min()), float(mean), float(medians.max()))


def header(columns):
    """Return the first two lines of a table."""
    return [_line(["problem", *columns]), _line(["---", *["---:"] * len(columns)])]


def line_of(row, columns):
    """Return the line of a row, a dict: ratios with their spread, figures, or nothing."""
    return _line([row["name"], *(_cell(row, column) for column in columns)])


def _cell(row, column):
    if column in row["ratios"]:
        return str(Ratio(**row["ratios"][column]))
    return f"{row['figures'][column]:.4g}" if column in row["figures"] else ""


def _line(cells):
    return f"| {' | '.join(cells)} |"


def table(contents, columns=None):
    """Return the rows as a table in Markdown, their means below where they mean something.

    Parameters
    ----------
    contents : dict
        Of `document`.
    columns : list of str, default=None
        None for all of them.
    """
    columns = contents["columns"] if columns is None else columns
    lines = header(columns) + [line_of(row, columns) for row in contents["rows"]]
    return "\n".join(lines + means_line(contents, columns))


def means_line(contents, columns):
    """Return the line of the means in a list, which is empty where there are none."""
    if "geometric means" not in contents:
        return []
    means = {"name": MEAN, "ratios": contents["geometric means"], "figures": {}}
    return [line_of(means, columns)]


def about(contents):
    """Return how the figures were taken, in a sentence or two."""
    counts = [row["rounds"] for row in contents["rows"]]
    rounds = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    return (
        f"Medians of {rounds} interleaved rounds (smallest\N{EN DASH}largest), "
        f"{contents['date']}. {line(contents['machine'], contents['versions'])}."
    )


def readme_block(contents):
    """Return what stands between the README's markers: the table of the fits."""
    return f"{BEGIN}\n\n{table(contents, list(RATIOS))}\n\n{about(contents)}\n\n{END}"


def rewritten(readme, contents):
    """Return the README's text with a new block between its markers.

    Raises
    ------
    ValueError
        If there is no such block.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"The README has no block between {BEGIN!r} and {END!r}.")
    return before + readme_block(contents) + after
