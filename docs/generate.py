"""Pages that are made at each build from other files of the repository."""

import shutil

from benchmarks import report


def write(docs):
    """Write all generated files below the folder of the documentation."""
    root = docs.parent
    for notebook in sorted((root / "notebooks").glob("*.ipynb")):
        shutil.copyfile(notebook, docs / "examples" / notebook.name)
    generated = docs / "generated"
    generated.mkdir(exist_ok=True)
    (generated / "benchmarks.md").write_text(
        benchmark_tables(root / "benchmarks" / "results"), encoding="utf-8"
    )


def benchmark_tables(results):
    """Return the tables of all saved results, with a heading for each, as Markdown."""
    return "\n\n".join(_section(report.load(path)) for path in sorted(results.glob("*.json")))


def _section(contents):
    heading = f"### {contents['title']}"
    return "\n\n".join([heading, report.table(contents), report.caption(contents)])
