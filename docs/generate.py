"""Pages that are made at each build from other files of the repository."""

import base64
import json
import re
import shutil

from references import PUBLIC_MODULES, public_names

from benchmarks import report

# Sections whose tables are stored in the pages themselves.
IN_PAGES = {"fits", "searches", "deployment", "quality"}


def write(docs):
    """Write all generated files below the folder of the documentation."""
    generated = docs / "generated"
    generated.mkdir(exist_ok=True)
    results = docs.parent / "benchmarks" / "results"
    cards = [_card(path, docs) for path in sorted((docs.parent / "notebooks").glob("*.ipynb"))]
    pages = {
        "api.md": "\n\n".join(map(_names_of, PUBLIC_MODULES)),
        "benchmarks.md": benchmark_tables(results),
        "examples.md": "\n".join(["::::{grid} 1 1 2 2", ":gutter: 3", "", *cards, "::::"]),
    }
    for name, text in pages.items():
        (generated / name).write_text(text, encoding="utf-8")


def _names_of(module):
    """Return a section with a table of the public names of a module."""
    names = [f"   ~{name}" for name in public_names().values() if name.rpartition(".")[0] == module]
    table = [".. autosummary::", "   :nosignatures:", "", *names]
    return "\n".join([f"## {module}", "", "```{eval-rst}", *table, "```"])


def benchmark_tables(results):
    """Return the tables of the saved results that no page contains, as Markdown."""
    paths = sorted(path for path in results.glob("*.json") if path.stem not in IN_PAGES)
    return "\n\n".join(_section(report.load(path)) for path in paths)


def _section(contents):
    heading = f"### {contents['title']}"
    return "\n\n".join([heading, report.table(contents), report.caption(contents)])


def _card(path, docs):
    """Copy a notebook to the pages. Return a card with its first paragraph and first picture."""
    shutil.copyfile(path, docs / "examples" / path.name)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, paragraph = "".join(cells[0]["source"]).split("\n\n")[:2]
    paragraph = re.sub(r"[^.]*:$", "", paragraph)  # introduces a list
    picture = docs / "generated" / f"{path.stem}.png"
    picture.write_bytes(base64.b64decode(next(_pictures(cells))))
    return "\n".join(
        [
            f":::{{grid-item-card}} {title.removeprefix('# ')}",
            f":link: {path.stem}",
            ":link-type: doc",
            f":img-bottom: /generated/{picture.name}",
            paragraph,
            ":::",
        ]
    )


def _pictures(cells):
    for cell in cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield output["data"]["image/png"]
