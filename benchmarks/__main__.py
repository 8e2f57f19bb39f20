"""Measure torchmlp beside what a user would pick instead, in ratios; print, save and draw them."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import (
    bfloat16,
    devices,
    fits,
    imports,
    memory,
    picture,
    predictions,
    products,
    report,
)
from benchmarks.machine import ROOT, line, machine, versions
from benchmarks.measure import Plan
from torchmlp.training.device.placement import resolve_device

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
SECTIONS = {
    "fits": fits,
    "products": products,
    "bfloat16": bfloat16,
    "predictions": predictions,
    "memory": memory,
    "imports": imports,
    "devices": devices,
}
NOT_ON_GPU, NOT_ON_CPU = {"memory", "imports"}, {"devices"}
BUSY = 0.5  # processors in use at the start; threads then wait for each other


def measure(name, plan, folder, described):
    """Measure a section, print its rows as they come, save them and draw the fits."""
    section = SECTIONS[name]
    columns = section.columns(plan)
    print(f"\n{section.TITLE}\n", *report.header(columns), sep="\n", flush=True)
    rows = []
    for row in section.rows(plan):
        rows.append(row)
        print(report.line_of(report.rounded(asdict(row)), columns), flush=True)
    if not rows:
        return
    contents = report.document(name, section, rows, plan, described)
    print(*report.means_line(contents, columns), sep="\n", flush=True)
    report.save(contents, folder)
    if name == "fits":
        picture.draw(contents, folder / "fits.png")


def results_of(plan):
    """Return where results go: the full ones of the CPU, and beside them all others."""
    folder = RESULTS if plan.device == "cpu" else RESULTS / plan.device.replace(":", "-")
    return folder / "quick" if plan.quick else folder


def sections_of(plan):
    """Return the names of what there is to measure on a device."""
    left_out = NOT_ON_CPU if plan.device == "cpu" else NOT_ON_GPU
    return [name for name in SECTIONS if name not in left_out]


def rewrite_readme(folder):
    """Put the table of the fits that were saved into the README."""
    text = README.read_text(encoding="utf-8")
    contents = report.load(folder / "fits.json")
    README.write_text(report.rewritten(text, contents), encoding="utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small problems only")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each library")
    parser.add_argument("--device", default="cpu", help="where torch computes: cpu or cuda")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections")
    parser.add_argument("--out", type=Path, help="where results go")
    parser.add_argument("--readme", action="store_true", help="only rewrite the README's table")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        resolve_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    plan = Plan(options.rounds, options.device, options.quick)
    folder = options.out or results_of(plan)
    if options.readme and not (folder / "fits.json").exists():
        parser.error(f"{folder} has no fits.json")
    if options.readme:
        rewrite_readme(folder)
        return
    print(f"Medians of at most {plan.rounds} interleaved rounds (smallest\N{EN DASH}largest).")
    described = machine(plan.device)
    print(line(described, versions()), flush=True)
    if described.get("load_before", 0) > BUSY:
        print(
            "The machine was busy in the last minute: where it still is, the figures are not sound."
        )
    for name in options.only or sections_of(plan):
        measure(name, plan, folder, described)
    print(f"\nSaved in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
