"""Tests for the type annotations of the public API."""

import inspect
import re
from pathlib import Path

import pytest

import torchmlp
from torchmlp import callbacks, ensemble, export, inspection, joblib_backend, preprocessing

ROOT = Path(__file__).parents[1]
SAMPLE = Path(__file__).with_name("typing_sample.py")
PUBLIC = [
    getattr(module, name)
    for module in (
        torchmlp,
        callbacks,
        ensemble,
        export,
        inspection,
        joblib_backend,
        preprocessing,
    )
    for name in module.__all__
]


def _functions(public):
    """Yield (name, function) of the public functions and methods that torchmlp defines."""
    if inspect.isfunction(public):
        yield public.__name__, public
        return
    for cls in public.__mro__:
        for name, member in vars(cls).items():
            member = getattr(member, "fget", getattr(member, "fn", member))
            member = inspect.unwrap(getattr(member, "__func__", member))
            ours = (getattr(member, "__module__", None) or "").startswith("torchmlp")
            hook = name.startswith("on_") or name == "initialize"  # called by skorch, not by users
            if inspect.isfunction(member) and ours and not hook:
                yield f"{cls.__name__}.{name}", member


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__name__)
def test_public_signatures_are_annotated(public):
    names = [name for name, _ in _functions(public)]
    assert names
    for name, function in _functions(public):
        if name.rpartition(".")[2].startswith("_") and not name.endswith(".__init__"):
            continue
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
        missing = [p.name for p in parameters if p.annotation is p.empty]
        assert not missing, (name, missing)
        assert signature.return_annotation is not signature.empty, name


def test_package_is_marked_as_typed():
    assert (ROOT / "torchmlp" / "py.typed").exists()


def test_mypy_reports_exactly_the_expected_errors():
    api = pytest.importorskip("mypy.api")
    expected = {
        (number, code)
        for number, line in enumerate(SAMPLE.read_text(encoding="utf-8").splitlines(), start=1)
        for code in re.findall(r"# error: ([\w-]+)", line)
    }
    assert expected
    options = {"--config-file": ROOT / "pyproject.toml", "--cache-dir": ROOT / ".mypy_cache"}
    arguments = [str(part) for option in options.items() for part in option]
    report, errors, _ = api.run([*arguments, "--no-pretty", str(SAMPLE)])
    assert not errors
    found = re.findall(r"typing_sample\.py:(\d+): error: (.*)\[([\w-]+)\]$", report, flags=re.M)
    assert {(int(number), code) for number, _, code in found} == expected, report
