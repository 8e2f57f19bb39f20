"""Benchmark torchmlp against other libraries, and print, save and plot the ratios."""

import argparse
import sys
from functools import partial
from pathlib import Path

from benchmarks import (
    bfloat16,
    deployment,
    devices,
    dot_plot,
    fits,
    imports,
    memory,
    picture,
    predictions,
    processes,
    products,
    quality,
    report,
    searches,
)
from benchmarks.machine import ROOT, machine, summary, versions
from benchmarks.measure import Plan
from torchmlp.training.device.placement import resolve_device

RESULTS = ROOT / "benchmarks" / "results"
SECTIONS = {
    "fits": fits,
    "products": products,
    "bfloat16": bfloat16,
    "predictions": predictions,
    "memory": memory,
    "imports": imports,
    "searches": searches,
    "deployment": deployment,
    "quality": quality,
    "processes": processes,
    "devices": devices,
}
# Section -> page with its table, and columns of the table.
PAGES = {
    "fits": (ROOT / "docs" / "benchmarks.md", list(fits.RATIOS)),
    "searches": (ROOT / "docs" / "guide" / "many_fits.md", None),
    "deployment": (ROOT / "docs" / "guide" / "deployment.md", None),
    "quality": (ROOT / "docs" / "guide" / "tables.md", None),
}
# Section with a plot -> function of its results and the path.
PICTURES = {
    "fits": picture.draw,
    "searches": partial(picture.draw, reference="the joblib backend"),
    "quality": dot_plot.draw,
}
NOT_ON_GPU = {"memory", "imports", "deployment", "searches", "quality", "processes"}
NOT_ON_CPU = {"devices"}
BUSY = 0.5  # load average above which a warning is printed


def measure(name, plan, folder, described):
    """Run a section, print and save each row when it is complete, and plot the results."""
    section = SECTIONS[name]
    columns = section.columns(plan)
    measured = report.measured(section).format(rounds=f"at most {plan.rounds}")
    print(f"\n{section.TITLE}. {measured}.\n", *report.header(columns), sep="\n", flush=True)
    rows = []
    for row in section.rows(plan):
        rows.append(row)
        contents = report.document(name, section, rows, plan, described)
        report.save(contents, folder)  # an interrupted run keeps its complete rows
        print(report.line_of(contents["rows"][-1], columns), flush=True)
    if not rows:
        return
    print(*report.means_line(contents, columns), sep="\n", flush=True)
    if name in PICTURES:
        PICTURES[name](contents, folder / f"{name}.png")


def results_of(plan):
    """Return the folder of the results: `RESULTS` for full runs on the CPU, else a subfolder."""
    folder = RESULTS if plan.device == "cpu" else RESULTS / plan.device.replace(":", "-")
    return folder / "quick" if plan.quick else folder


def sections_of(plan):
    """Return the names of the sections that can run on the device."""
    excluded = NOT_ON_CPU if plan.device == "cpu" else NOT_ON_GPU
    return [name for name in SECTIONS if name not in excluded]


def rewrite_pages(folder):
    """Update the tables and the plots of the documentation from the saved results."""
    for section, (page, columns) in PAGES.items():
        contents = report.load(folder / f"{section}.json")
        text = report.rewritten(page.read_text(encoding="utf-8"), contents, columns)
        page.write_text(text, encoding="utf-8")
        if section in PICTURES:
            PICTURES[section](contents, folder / f"{section}.png")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small problems only")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each library")
    parser.add_argument("--device", default="cpu", help="device of torch: cpu or cuda")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="sections to run")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument(
        "--docs", action="store_true", help="only update the tables and plots of the documentation"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        resolve_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    plan = Plan(options.rounds, options.device, options.quick)
    folder = options.out or results_of(plan)
    if options.docs:
        for section in PAGES:
            if not (folder / f"{section}.json").exists():
                parser.error(f"{folder} has no {section}.json")
        rewrite_pages(folder)
        return
    described = machine(plan.device)
    print(summary(described, versions()), flush=True)
    if described.get("load_before", 0) > BUSY:
        print(
            "Warning: the machine was busy during the last minute. If it still is, the results are "
            "unreliable."
        )
    for name in options.only or sections_of(plan):
        measure(name, plan, folder, described)
    print(f"\nSaved in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
