"""Results of a section as JSON and as a Markdown table."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np

from benchmarks.machine import summary, versions
from benchmarks.measure import Ratio, Score

MEAN = "geometric mean (smallest\N{EN DASH}largest)"
MEDIANS = "Medians of {rounds} interleaved rounds (smallest\N{EN DASH}largest)"
DIGITS = 4  # significant digits of the saved numbers


def document(name, section, rows, plan, described):
    """Return the results of a section as a dict that can be serialized to JSON.

    Parameters
    ----------
    name : str
    section : module
        Module with ``TITLE``, ``MEANS`` and ``columns``, and ``MEASURED`` if it does not contain
        medians.
    rows : list of Row
    plan : Plan
    described : dict
        Result of `machine` before the run.
    """
    contents = {
        "section": name,
        "title": section.TITLE,
        "measured": measured(section),
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


def measured(section):
    """Return what the cells of the table contain, with a field for the number of rounds."""
    return getattr(section, "MEASURED", MEDIANS)


def rounded(value):
    """Return the value with rounded numbers, so that printed and saved results agree."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def save(contents, folder):
    """Write the results of a section to a JSON file, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{contents['section']}.json"
    path.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    return path


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def ratios(contents, column):
    """Return the ratios of a column by problem."""
    return {
        row["name"]: Ratio(**row["ratios"][column])
        for row in contents["rows"]
        if column in row["ratios"]
    }


def geometric_mean(values):
    """Return the geometric mean of the medians, with their minimum and maximum."""
    medians = np.array([ratio.median for ratio in values])
    mean = np.exp(np.log(medians).mean())
    return Ratio(float(medians.min()), float(mean), float(medians.max()))


def header(columns):
    """Return the first two lines of a Markdown table."""
    return [_line(["problem", *columns]), _line(["---", *["---:"] * len(columns)])]


def line_of(row, columns):
    """Return the line of a row given as a dict. Missing cells are empty."""
    return _line([row["name"], *(_cell(row, column) for column in columns)])


def _cell(row, column):
    if column in row["ratios"]:
        return str(Ratio(**row["ratios"][column]))
    if column in row.get("scores", {}):
        return str(Score(**row["scores"][column]))
    return f"{row['figures'][column]:.4g}" if column in row["figures"] else ""


def _line(cells):
    return f"| {' | '.join(cells)} |"


def table(contents, columns=None):
    """Return the results as a Markdown table, with geometric means if the section has them.

    Parameters
    ----------
    contents : dict
        Results of `document`.
    columns : list of str, default=None
        Columns of the table. None for all.
    """
    columns = contents["columns"] if columns is None else columns
    lines = header(columns) + [line_of(row, columns) for row in contents["rows"]]
    return "\n".join(lines + means_line(contents, columns))


def means_line(contents, columns):
    """Return a list with the line of the geometric means, or an empty list without means."""
    if "geometric means" not in contents:
        return []
    means = {"name": MEAN, "ratios": contents["geometric means"], "figures": {}}
    return [line_of(means, columns)]


def caption(contents):
    """Return a description of the measurement, the machine and the versions."""
    counts = [row["rounds"] for row in contents["rows"]]
    rounds = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    return (
        f"{contents.get('measured', MEDIANS).format(rounds=rounds)}, "
        f"{contents['date']}. {summary(contents['machine'], contents['versions'])}."
    )


def page_block(contents, columns=None):
    """Return the block of a documentation page with the table of a section, with its markers."""
    begin, end = markers(contents["section"])
    return f"{begin}\n\n{table(contents, columns)}\n\n{caption(contents)}\n\n{end}"


def markers(section):
    """Return the comments before and after the table of a section in a documentation page."""
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


def rewritten(page, contents, columns=None):
    """Return the text of a documentation page with an updated block.

    Raises
    ------
    ValueError
        If the page has no block for the section.
    """
    begin, end = markers(contents["section"])
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"The page has no block between {begin!r} and {end!r}.")
    return before + page_block(contents, columns) + after
