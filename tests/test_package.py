"""Tests for the metadata of the package and the contents of its distributions."""

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import torchmlp

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
VERSION = PROJECT["version"]
# Marked links and images in Markdown, and those of HTML tags.
LINKS = re.compile(r'(?:\]\(|(?:src|srcset|href)=")([^)\s"]+)')


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatch_fancy_pypi_readme")
    builders = pytest.importorskip("hatchling.builders.wheel")
    builder = builders.WheelBuilder(str(ROOT))
    (path,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    return wheel.read(f"torchmlp-{VERSION}.dist-info/METADATA").decode()


def _modules():
    package = ROOT / "torchmlp"
    return {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}


def test_wheel_contains_the_package_and_nothing_else(wheel):
    info = f"torchmlp-{VERSION}.dist-info"
    described = {f"{info}/{n}" for n in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert set(wheel.namelist()) == _modules() | {"torchmlp/py.typed"} | described


def test_source_distribution_contains_the_package_and_nothing_else(tmp_path):
    pytest.importorskip("hatch_fancy_pypi_readme")
    builders = pytest.importorskip("hatchling.builders.sdist")
    (path,) = builders.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    described = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md"}
    of_the_build = {".gitignore", "PKG-INFO", "pyproject.toml"}
    assert names == _modules() | {"torchmlp/py.typed"} | described | of_the_build


def test_description_has_no_relative_links(metadata):
    links = LINKS.findall(metadata)
    assert len(links) == len(LINKS.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_images_of_the_description_are_files_of_the_tag(metadata):
    images = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", metadata)
    images += re.findall(r'<img[^>]* src="([^"]+)"', metadata)
    assert images
    raw = f"{PROJECT['urls']['Repository']}/raw/v{VERSION}/"
    for image in images:
        assert image.startswith(raw)
        assert (ROOT / image.removeprefix(raw)).is_file(), image


def test_description_does_not_change_code(metadata):
    blocks = re.compile(r"^```python\n.*?^```", flags=re.DOTALL | re.MULTILINE)
    assert blocks.findall(metadata) == blocks.findall(
        (ROOT / "README.md").read_text(encoding="utf-8")
    )


def test_repository_has_one_address():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    addresses = set(re.findall(r"https://github\.com/[\w-]+/torchmlp", text + citation))
    assert addresses == {PROJECT["urls"]["Repository"]}


def test_version_is_that_of_the_changelog_and_the_citation():
    heading = re.search(
        r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M
    )
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert heading[1] == VERSION
    assert f"\nversion: {VERSION}\n" in citation
    assert f"\ndate-released: {heading[2]}\n" in citation


def test_lower_bounds_are_the_oldest_tested_versions():
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if "==" in line)
    extras = PROJECT["optional-dependencies"]
    required = map(Requirement, [*PROJECT["dependencies"], *extras["onnx"]])
    for requirement in required:
        (bound,) = requirement.specifier
        pinned = oldest[requirement.name]
        assert bound.operator == ">="
        assert SpecifierSet(f"=={bound.version}").contains(pinned), requirement.name


def test_classifiers_are_the_versions_of_python_in_the_workflow():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tested = re.search(r"python: \[(.*)\]", workflow)[1].replace('"', "").split(", ")
    prefix = "Programming Language :: Python :: 3."
    classified = [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert [f"3.{minor}" for minor in classified] == tested
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_type_information_is_installed():
    assert (Path(torchmlp.__file__).parent / "py.typed").is_file()
