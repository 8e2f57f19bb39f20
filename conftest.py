"""For the tests and the doctests: pictures are drawn without a screen, and closed."""

import matplotlib
import matplotlib.pyplot as plt
import pytest

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _no_figure_stays(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)  # Agg would warn that it has no screen
    yield
    plt.close("all")
