"""Tests for the figures of the section `searches` of the benchmarks, and their plot."""

import pytest

from benchmarks import __main__, picture, report

CONTENTS = report.load(__main__.RESULTS / "searches.json")
COLUMN = "MLPClassifier, processes / backend"


def test_readme_has_the_ratios_of_the_results():
    first, *others = [ratio.median for ratio in report.ratios(CONTENTS, COLUMN).values()]
    readme = " ".join((__main__.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"on iris is {first:.1f} times as fast" in readme
    assert f"other searches {min(others):.1f} to {max(others):.1f} times" in readme


@pytest.mark.parametrize("section", __main__.PICTURES)
def test_results_have_a_plot(section):
    assert (__main__.RESULTS / f"{section}.png").stat().st_size > 0


def test_plot_without_geometric_means(tmp_path):
    assert "geometric means" not in CONTENTS
    picture.draw(CONTENTS, tmp_path / "a.svg", "the joblib backend")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")
