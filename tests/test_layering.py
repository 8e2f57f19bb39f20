"""Tests for imports: they go down only, private names stay in one file, importing is light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer

from torchmlp._sklearn_compat import CallbackSupportMixin

PACKAGE = Path(__file__).parents[1] / "torchmlp"
# Each level may import from the levels above it in this list.
LEVELS = [
    {"_sklearn_compat", "_typing", "training", "training.device", "training.progress_log"},
    {"training.callable_loss", "training.progress", "training.target_scale", "training.threads"},
    {"training.failure_reports", "training.shares"},
    {"training.processes"},
    {"training.activations", "training.parameters", "training.products", "training.state_checks"},
    {"training.device.placement", "training.loss_function"},
    {"training.distribution_losses"},
    {"training.output_activations", "training.schedules", "training.solvers", "training.workspace"},
    {"training.device.transfer", "training.forward", "training.losses", "training.torch_solver"},
    {"training.averaging", "training.batches", "training.device.cuda_graphs", "training.inference"},
    {"training.solver_factory", "training.stack_batches"},
    {"training.weight_sharing"},
    {"training.loaders"},
    {"training.backprop", "training.divergence", "training.fit_state"},
    {"training.lbfgs", "training.stochastic"},
    {"training.loop", "training.stack_validation"},
    {"training.stack_network"},
    {"training.stack"},
    {"training.jobs"},
    {"training.scheduling"},
    {"task_scheduler"},
    {"joblib_backend"},
    {"meta_estimators", "callbacks.skorch_adapter", "callbacks.skorch_checks"},
    {"callbacks.checkpoint_file", "callbacks.fingerprint"},
    {"callbacks.checkpoint"},
    {"callbacks.checkpoint_monitor"},
    {"callbacks.monitors", "callbacks.shared_checkpoint", "callbacks.snapshots"},
    {"callbacks", "encoding", "fitted_attributes", "validation", "validation_scale"},
    {"bin_components", "bin_edges", "constraints", "distribution_encoding", "early_stopping"},
    {"preprocessing"},
    {"export.forms", "export.onnx_names", "prediction"},
    {"export.onnx_converters"},
    {"export.onnx_encoders", "export.onnx_ensembles", "export.onnx_limits", "export.onnx_targets"},
    {"export.onnx"},
    {"export"},
    {"agreement"},
    {"preparation"},
    {"base"},
    {"classifier", "regressor"},
    {"distributed", "tabular"},
    {""},
    {"ensemble"},
    {"__main__"},
    {"inspection.models", "inspection.style", "inspection.geometry"},
    {"inspection.gif", "inspection.html_player"},
    {"inspection.player", "inspection.samples"},
    {"inspection.features", "inspection.regions", "inspection.histograms"},
    {"inspection.loss_curve", "inspection.network", "inspection.frames"},
    {"inspection.hidden_features", "inspection.decision_region"},
    {"inspection.animation", "inspection.piecewise_linear_encoding", "inspection.weights"},
    {"inspection"},
]
MODULES = sorted(PACKAGE.rglob("*.py"))
MAP = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _level(name):
    return next(i for i, names in enumerate(LEVELS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_go_down(path):
    known = set().union(*LEVELS)
    assert _name(path) in known, "a new module needs a level"
    for imported in _imports(path):
        if imported.split(".")[0] != "torchmlp":
            continue
        inner = imported.removeprefix("torchmlp").lstrip(".")
        target = inner if inner in known else inner.rpartition(".")[0]
        assert _level(target) < _level(_name(path)), f"{_name(path)} imports {target}"


def test_levels_name_modules_that_exist():
    assert set().union(*LEVELS) == {_name(path) for path in MODULES}


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "__init__"], ids=_name)
def test_contributing_names_every_module(path):
    assert f"`{path.name}`" in MAP


def test_contributing_names_files_that_exist():
    files = {path.name for path in [*PACKAGE.rglob("*.py"), *Path(__file__).parent.rglob("*.py")]}
    named = set(re.findall(r"`(?:\w+/)*(\w+\.py)`", MAP))
    assert named - files == set()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_private_scikit_learn_is_imported_in_one_place(path):
    private = [
        name
        for name in _imports(path)
        if name.split(".")[0] in ("sklearn", "skorch")
        and any(part.startswith("_") for part in name.split("."))
    ]
    assert not private or _name(path) == "_sklearn_compat", private


def _private_names(*objects):
    names = {name for o in objects for name in dir(o)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


# Attributes that scikit-learn's estimators, encoders and scorers keep for themselves.
PRIVATE_OF_SKLEARN = _private_names(
    MLPClassifier(solver="sgd", early_stopping=True, tol=1.0).fit(*load_iris(return_X_y=True)),
    CallbackSupportMixin,
    LabelBinarizer(),
    make_scorer(accuracy_score),
)


OUR_FUNCTIONS = {
    node.name
    for path in MODULES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef)
}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_private_attributes_of_scikit_learn_are_read_in_one_place(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # Our estimators have this attribute too: scikit-learn's own tests read it.
    private = (read & PRIVATE_OF_SKLEARN) - OUR_FUNCTIONS - {"_no_improvement_count"}
    assert not private or _name(path) == "_sklearn_compat", private


def _code_lines(node, n_lines):
    """Return a number of lines without the lines of the docstrings inside a node."""
    for inner in ast.walk(node):
        documented = isinstance(inner, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(inner) is not None:
            n_lines -= inner.body[0].end_lineno - inner.body[0].lineno + 1
    return n_lines


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_files_and_functions_stay_short(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert _code_lines(tree, len(source.splitlines())) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert _code_lines(node, node.end_lineno - node.lineno + 1) <= 50, node.name


def test_docstrings_are_not_counted():
    tree = ast.parse(
        '"""Module."""\ndef f():\n    """Summary.\n\n    Text.\n    """\n    return 1\n'
    )
    assert _code_lines(tree, 7) == 2


def _printed(code):
    """Return what a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


HEAVY = ["matplotlib", "pandas", "onnx", "skl2onnx", "array_api_strict", "torch._dynamo"]


@pytest.mark.parametrize(
    ("package", "heavy"), [("torchmlp", [*HEAVY, "skorch"]), ("torchmlp.inspection", HEAVY)]
)
def test_import_is_light(package, heavy):
    code = (
        "import torch, sklearn.neural_network, sys; before = set(sys.modules);"
        f"import {package}; new = set(sys.modules) - before;"
        f"print([m for m in {heavy} if m in new])"
    )
    assert _printed(code) == "[]"


FIT = """
import sys, warnings
import numpy as np
import torchmlp
warnings.simplefilter("ignore")
X = np.random.RandomState(0).rand(20, 3)
for estimator in (torchmlp.TorchMLPClassifier, torchmlp.TorchMLPRegressor):
    for solver in ("adam", "lbfgs"):
        estimator(solver=solver, max_iter=2, early_stopping=True).fit(X, X[:, 0] > 0.5).predict(X)
print([module for module in sys.modules if module.split(".")[0] == "skorch"])
"""


def test_fit_without_callbacks_does_not_import_skorch():
    assert _printed(FIT) == "[]"
