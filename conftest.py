"""For the tests and the doctests: array APIs are on, and pictures need no screen."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read when scipy is imported

import matplotlib
import matplotlib.pyplot as plt
import pytest

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _no_figure_stays(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)  # Agg would warn that it has no screen
    yield
    plt.close("all")
