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
from public_names import PUBLIC
from sklearn.base import ClassifierMixin
from sklearn.neural_network import MLPClassifier, MLPRegressor

from torchmlp import TorchMLPClassifier
from torchmlp.ensemble import WeightSharingClassifier, WeightSharingRegressor

ENSEMBLES = (WeightSharingClassifier, WeightSharingRegressor)
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# numpydoc's codes for rules that scikit-learn does not follow either: results have names, short
# methods have neither examples nor a see-also, text may begin on the line of the quotes.
TOLERATED = {"ES01", "EX01", "SA01", "SA04", "GL01", "RT02", "RT03"}
# Classes whose methods are called by skorch and joblib, with their parameters.
CALLED_BY_OTHERS = {"torchmlp.callbacks.Snapshots", "torchmlp.joblib_backend.TorchMLPBackend"}
# The parameters of a `Snapshot` are its attributes.
CHECKED = [name for name in PUBLIC if name != "torchmlp.callbacks.Snapshot"]


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


@pytest.mark.parametrize("name", CHECKED)
def test_every_parameter_is_documented_in_order(name):
    documented = [
        parameter.lstrip("*")
        for p in NumpyDocString(inspect.getdoc(PUBLIC[name]))["Parameters"]
        for parameter in p.name.split(", ")
    ]
    assert documented == list(inspect.signature(PUBLIC[name]).parameters)


def _descriptions(estimator, section):
    kind = "Classifier" if issubclass(estimator, ClassifierMixin) else "Regressor"
    return {
        p.name: (p.type.replace(kind, ""), [line.replace(kind, "") for line in p.desc])
        for p in NumpyDocString(estimator.__doc__)[section]
    }


@pytest.mark.parametrize(
    ("estimators", "section", "different"),
    [
        (OURS, "Parameters", {"loss", "early_stopping"}),
        (ENSEMBLES, "Parameters", set()),
        (ENSEMBLES, "Attributes", set()),
    ],
)
def test_shared_names_have_one_description(estimators, section, different):
    one, other = (_descriptions(estimator, section) for estimator in estimators)
    for name in one.keys() & other.keys() - different:
        assert one[name] == other[name], name


def _with_methods(name):
    """Return the full names of a public name and of its methods that torchmlp defines."""
    public = PUBLIC[name]
    if not inspect.isclass(public) or name in CALLED_BY_OTHERS:
        return [name]
    ours = [cls for cls in public.__mro__ if cls.__module__.startswith("torchmlp")]
    methods = {n for cls in ours for n in vars(cls) if n[0] != "_" and callable(getattr(cls, n))}
    return [name, *(f"{name}.{method}" for method in sorted(methods))]


@pytest.mark.parametrize("name", CHECKED)
def test_docstrings_pass_numpydoc_validation(name):
    for documented in _with_methods(name):
        errors = [error for error in validate(documented)["errors"] if error[0] not in TOLERATED]
        assert not errors, (documented, errors)


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
