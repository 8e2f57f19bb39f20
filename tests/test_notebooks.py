"""Tests for the notebooks: they run, and are stored with their outputs."""

import base64
import io
from pathlib import Path

import nbformat
import pytest
from helpers import requires_sklearn
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PICTURES = {"image/png", "image/svg+xml", "image/gif"}


def _code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook):
    return [output for cell in _code_cells(notebook) for output in cell.outputs]


def _assert_nothing_went_wrong(notebook):
    for output in _outputs(notebook):
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output.text
    counts = [cell.execution_count for cell in _code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


@requires_sklearn("1.9", "callbacks, and parameters of displays, in the notebooks")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    _assert_nothing_went_wrong(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    _assert_nothing_went_wrong(notebook)
    kinds = {kind for output in _outputs(notebook) for kind in output.get("data", {})}
    assert kinds & PICTURES
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}  # versions would change at each run


def test_first_notebook_shows_the_training_as_an_animation():
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    animations = [
        o.data["image/gif"] for o in _outputs(notebook) if "image/gif" in o.get("data", {})
    ]
    (animation,) = (Image.open(io.BytesIO(base64.b64decode(data))) for data in animations)
    assert animation.n_frames > 20
    assert len(animations[0]) < 500_000
