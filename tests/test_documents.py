"""Tests for the README and the docstrings."""

import ast
import contextlib
import inspect
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from helpers import OURS
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from sklearn.neural_network import MLPClassifier, MLPRegressor

from torchmlp import TorchMLPClassifier, inspection
from torchmlp.callbacks import Snapshots, find_snapshots
from torchmlp.preprocessing import PiecewiseLinearEncoder

DISPLAYS = [getattr(inspection, name) for name in inspection.__all__]
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# numpydoc's codes for rules that scikit-learn does not follow either: results have names, short
# methods have neither examples nor a see-also, text may begin on the line of the quotes.
TOLERATED = {"ES01", "EX01", "SA01", "SA04", "GL01", "RT02", "RT03"}


@pytest.mark.parametrize(
    "block", re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
)
def test_each_example_of_the_readme_runs_alone(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    plt.close("all")
    expected = re.findall(r"^print\(.*\)  # (.+)$", block, re.MULTILINE)
    assert printed.getvalue().splitlines() == expected


def test_readme_is_short_and_has_five_examples():
    assert len(README.splitlines()) <= 150
    assert README.count("```python") == 5
    assert README.index("pip install torchmlp") < README.index("make demo")


def test_every_difference_has_a_test_and_a_row_in_the_documentation():
    source = (Path(__file__).parent / "test_differences.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    against_theirs = [
        function.name
        for function in functions
        if any("both(" in ast.unparse(mark) for mark in function.decorator_list)
    ]
    page = (ROOT / "docs" / "guide" / "reproducibility.md").read_text(encoding="utf-8")
    table = page.partition("<!-- differences: begin -->")[2].partition("<!-- differences: end")[0]
    assert len(table.strip().splitlines()) - 2 == len(against_theirs)


def test_files_linked_in_the_readme_exist():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert any(link.startswith("docs/") for link in links)
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


@pytest.mark.parametrize(
    "public", [*OURS, *DISPLAYS, PiecewiseLinearEncoder, Snapshots, find_snapshots]
)
def test_every_parameter_is_documented_in_order(public):
    parameters = NumpyDocString(public.__doc__)["Parameters"]
    documented = [name for p in parameters for name in p.name.split(", ")]
    assert documented == list(inspect.signature(public).parameters)


def test_shared_parameters_have_one_description():
    described = [
        {p.name: (p.type, p.desc) for p in NumpyDocString(estimator.__doc__)["Parameters"]}
        for estimator in OURS
    ]
    for name in described[0].keys() & described[1].keys() - {"loss", "early_stopping"}:
        assert described[0][name] == described[1][name], name


@pytest.mark.parametrize("public", [*OURS, *DISPLAYS, PiecewiseLinearEncoder])
def test_docstrings_pass_numpydoc_validation(public):
    package = public.__module__ if public is PiecewiseLinearEncoder else "torchmlp"
    package = "torchmlp.inspection" if public in DISPLAYS else package
    names = [f"{package}.{public.__name__}"]
    for cls in public.__mro__:
        if cls.__module__.startswith("torchmlp"):
            public_names = [n for n in vars(cls) if n[0] != "_" and callable(getattr(cls, n))]
            names += [f"{names[0]}.{n}" for n in public_names]
    for name in names:
        errors = [error for error in validate(name)["errors"] if error[0] not in TOLERATED]
        assert not errors, (name, errors)


@pytest.mark.parametrize("estimator", OURS)
def test_added_parameters_have_an_example(estimator):
    theirs = MLPClassifier if estimator is TorchMLPClassifier else MLPRegressor
    added = inspect.signature(estimator).parameters.keys() - inspect.signature(theirs).parameters
    added |= {
        "X_val",
        "y_val",
        "sample_weight_val",
        "set_callbacks",
        "history_",
        "to_sklearn",
        "to_torch",
    }
    added |= {"solver", "activation", "learning_rate", "loss", "verbose", "array_api_dispatch"}
    methods = [m for name, m in inspect.getmembers(estimator, callable) if name[0] != "_"]
    examples = "".join(
        line
        for documented in [estimator, *methods]
        for line in (inspect.getdoc(documented) or "").splitlines(keepends=True)
        if line.startswith((">>>", "..."))
    )
    missing = {name for name in added if not re.search(rf"\b{name}\b", examples)}
    assert not missing
