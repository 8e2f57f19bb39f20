"""Imports go down only, private scikit-learn stays in one file, and importing is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "torchmlp"
# Each level may import from the levels above it in this list.
LEVELS = [
    {
        "training",
        "training.inputs",
        "training.parameters",
        "training.activations",
        "training.callable_loss",
        "training.divergence",
    },
    {"training.compute"},
    {"training.losses", "training.schedules", "training.solvers"},
    {"training.buffers", "training.callback_view", "training.transfer"},
    {"training.forward", "training.rows", "training.replay"},
    {"training.epoch", "training.task"},
    {"training.net", "training.lbfgs"},
    {"nesting"},
    {"callbacks", "encoding", "onnx_converter", "onnx_names", "callback_checks"},
    {"onnx_targets"},
    {"validation"},
    {"arrays", "scales"},
    {"export", "hints", "holdout", "prediction", "observers"},
    {"base"},
    {"classifier", "regressor"},
    {""},
    {"__main__"},
    {"inspection.models", "inspection.style", "inspection.geometry"},
    {"inspection.player"},
    {"inspection.features", "inspection.regions", "inspection.histograms"},
    {"inspection.loss_curve", "inspection.network", "inspection.frames"},
    {"inspection.hidden_features", "inspection.decision_region"},
    {"inspection.animation", "inspection.weights"},
    {"inspection"},
]
MODULES = sorted(PACKAGE.rglob("*.py"))


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


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_private_scikit_learn_is_imported_in_one_place(path):
    private = [
        name
        for name in _imports(path)
        if name.split(".")[0] in ("sklearn", "skorch")
        and any(part.startswith("_") for part in name.split("."))
    ]
    assert not private or _name(path) == "validation", private


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


@pytest.mark.parametrize("package", ["torchmlp", "torchmlp.inspection"])
def test_import_is_light(package):
    heavy = "matplotlib", "pandas", "onnx", "skl2onnx", "array_api_strict", "torch._dynamo"
    code = (
        "import torch, sklearn.neural_network, skorch, sys; before = set(sys.modules);"
        f"import {package}; new = set(sys.modules) - before;"
        f"print([m for m in {heavy} if m in new])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
