"""For the tests and the doctests: array APIs are on, and pictures need no screen."""

import importlib.util
import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read when scipy is imported

import matplotlib
import matplotlib.pyplot as plt
import pytest

matplotlib.use("Agg")


def pytest_collection_modifyitems(items):
    """Skip docstrings with callbacks of scikit-learn for versions that have none."""
    if importlib.util.find_spec("sklearn.callback") is not None:
        return
    for item in items:
        doctest = getattr(item, "dtest", None)
        if doctest is not None and "sklearn.callback" in doctest.docstring:
            item.add_marker(pytest.mark.skip(reason="callbacks: new in scikit-learn 1.9"))


@pytest.fixture(autouse=True)
def _no_figure_stays(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)  # Agg would warn that it has no screen
    yield
    plt.close("all")
