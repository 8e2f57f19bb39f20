"""The benchmark runs, with problems of a moment."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from benchmarks.__main__ import COLUMNS, compare, main
from benchmarks.libraries import LIBRARIES, takes_part
from benchmarks.measure import Ratio, fits
from benchmarks.problems import PROBLEMS, Problem


def tiny(solver="adam", kind="class"):
    X, y = load_iris(return_X_y=True)
    y = {"class": y, "labels": np.eye(3, dtype=int)[y], "number": y.astype(float)}[kind]
    return Problem("tiny", lambda: (X, y), (3,), 50, 1, solver, kind)


@pytest.mark.parametrize("kind", ["class", "labels", "number"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_every_library_fits(solver, kind):
    problem = tiny(solver, kind)
    taken = fits(problem, "cpu", 1)
    assert set(taken) == {name for name in LIBRARIES if takes_part(name, problem)}
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in taken.values())


def test_ratios_are_taken_round_by_round():
    ratio = Ratio.of([2.0, 9.0, 8.0], [1.0, 3.0, 2.0])
    assert (ratio.low, ratio.median, ratio.high) == (2.0, 3.0, 4.0)
    assert set(compare(tiny("lbfgs"), "cpu", 1)) == set(COLUMNS)


def test_the_table(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.__main__.PROBLEMS", [tiny()])
    main(["--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["Median", "problem", "tiny", "geometric"]


def test_problems_have_names_of_their_own():
    assert len({problem.name for problem in PROBLEMS}) == len(PROBLEMS)
