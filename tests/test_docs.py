"""Tests for the documentation: its code runs, and the reference has a page for every name."""

import contextlib
import html
import importlib
import importlib.util
import inspect
import io
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from helpers import requires_sklearn
from public_names import PUBLIC
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, _sklearn_compat, ensemble
from torchmlp.preprocessing import PiecewiseLinearEncoder

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if not {"_build", "generated"} & set(path.relative_to(DOCS).parts)
]
# A fenced block, and the optional comment above it that names the packages which it needs.
BLOCK = re.compile(
    r"(?:^% needs: ([\w., ]+)\n)?^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)
URL = "https://torchmlp.example.org"


def _installed(needs):
    return all(importlib.util.find_spec(name.strip()) for name in needs.split(",") if name)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_code_runs_and_prints_what_the_page_shows(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, printed = {"__name__": "__main__"}, ""
    for needs, language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language == "python" and _installed(needs):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block, path.name, "exec"), namespace)
            printed = out.getvalue()
        elif language == "text" and printed:
            assert printed == block
            printed = ""


def _documented():
    """Yield every public name, and the methods of our estimators, with their docstrings."""
    yield from PUBLIC.items()
    for estimator in (
        TorchMLPClassifier,
        TorchMLPRegressor,
        PiecewiseLinearEncoder,
        ensemble.WeightSharingClassifier,
        ensemble.WeightSharingRegressor,
    ):
        for name, method in inspect.getmembers(estimator, callable):
            if name[0] != "_" and method.__module__.startswith("torchmlp."):
                yield f"{estimator.__name__}.{name}", method


@pytest.mark.parametrize(("name", "public"), list(_documented()))
def test_every_public_name_has_an_example(name, public):
    docstring = inspect.getdoc(public)
    assert re.search(r"^Examples\n-{8}$", docstring, flags=re.MULTILINE)
    assert ">>> " in docstring.partition("Examples\n")[2]


@requires_sklearn("1.9", "the documentation mentions callbacks")
def test_inventories_have_the_objects_that_the_documentation_mentions(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    build = importlib.import_module("inventories.build")
    expected = build.contents()
    assert {name: build.read(name) for name in expected} == expected, "run `make inventories`"


@pytest.fixture
def documentation_url(monkeypatch):
    monkeypatch.setattr(_sklearn_compat, "_documentation_url", lambda: URL)
    return URL


@requires_sklearn("1.8", "links of parameters in the HTML representation")
def test_html_representation_links_to_the_documentation(documentation_url):
    page = make_pipeline(StandardScaler(), TorchMLPRegressor())._repr_html_()
    links = re.findall(r'href="([^"]+)"', html.unescape(page))
    expected = f"{documentation_url}/api/generated/torchmlp.TorchMLPRegressor.html"
    assert expected in links
    assert any(link.startswith(f"{expected}#") and "solver" in link for link in links)


def test_subclass_outside_of_the_package_has_no_link(documentation_url):
    class Derived(TorchMLPClassifier):
        pass

    assert Derived()._get_doc_link() == ""


def test_no_link_without_an_address(monkeypatch):
    monkeypatch.setattr(_sklearn_compat, "_documentation_url", lambda: "")
    assert TorchMLPClassifier()._get_doc_link() == ""


def test_metadata_have_the_address_of_the_documentation():
    urls = dict(url.split(", ", 1) for url in metadata("torchmlp").get_all("Project-URL"))
    assert _sklearn_compat._documentation_url() == urls["Documentation"]


def test_site_has_a_page_for_every_name_and_an_index_for_its_search(documentation_url, tmp_path):
    # Without the pages whose code is tested above, and with links into them left unresolved.
    excluded = "_build,_templates,generated,start,guide,examples"
    command = [sys.executable, "-m", "sphinx", "-q", "-D", f"exclude_patterns={excluded}"]
    subprocess.run([*command, DOCS, tmp_path], check=True, capture_output=True)
    for name in PUBLIC:
        assert f'id="{name}"' in (tmp_path / f"api/generated/{name}.html").read_text("utf-8")
    link = TorchMLPClassifier()._get_doc_link().removeprefix(f"{documentation_url}/")
    assert (tmp_path / link).exists()
    # The search compares stems of words.
    assert '"early_stop":' in (tmp_path / "searchindex.js").read_text(encoding="utf-8")
