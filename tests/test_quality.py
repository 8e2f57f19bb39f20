"""Tests for the tables of the benchmarks, and for the comparison of models on them."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import __main__, dot_plot, quality, report, tables, tabular_defaults
from benchmarks.machine import machine
from benchmarks.measure import Plan, Row, Score
from benchmarks.models import MODELS, Model

# Name -> rows, numbers, categories, missing values, outputs or classes, rows of the published test
# part.
CONTENTS = {
    "penguins": (344, 5, 2, 19, 3, None),
    "mtr_enb": (768, 8, 0, 0, 2, None),
    "optdigits": (5620, 64, 0, 0, 10, 1797),
    "churn": (10000, 8, 2, 0, 2, 2000),
    "california": (20640, 8, 0, 0, 1, 4128),
    "adult": (48842, 6, 8, 6465, 2, 16281),
}

BOOSTING = "HistGradientBoosting"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr("benchmarks.measure.PAUSE", 0.0)


@pytest.mark.parametrize("name", tables.TARGETS)
def test_tables(name):
    n_rows, n_numbers, n_categories, n_missing, n_outputs, n_test = CONTENTS[name]
    table = tables.load(name)
    X, y = table.X, table.y
    assert len(X) == len(y) == n_rows
    numbers = X.select_dtypes("number").columns
    categories = X.columns.difference(numbers)
    assert (len(numbers), len(categories)) == (n_numbers, n_categories)
    assert set(X[numbers].dtypes) == {np.dtype("float64")}
    assert all(isinstance(X[column].mode()[0], str) for column in categories)
    assert X.isna().sum().sum() == n_missing
    assert not np.isnan(y).any()
    if table.task == "classification":
        assert list(np.unique(y)) == list(range(n_outputs))
    else:
        assert y.dtype == float
        assert y.shape == ((n_rows,) if n_outputs == 1 else (n_rows, n_outputs))
    if n_test is not None:
        assert len(table.split(0).test) == n_test


def test_splits_of_tables():
    sizes = {
        "penguins": (206, 69, 69),
        "optdigits": (2699, 1124, 1797),
        "churn": (6400, 1600, 2000),
    }
    for name, expected in sizes.items():
        table = tables.load(name)
        split, again, other = table.split(0), table.split(0), table.split(1)
        assert tuple(map(len, split)) == expected
        np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(len(table.y)))
        for part, same in zip(split, again, strict=True):
            np.testing.assert_array_equal(part, same)
        assert np.array_equal(split.train, other.train) == (name == "churn")
        assert np.array_equal(split.test, other.test) == (name != "penguins")


def test_metrics_of_tables():
    y, predicted = np.array([[0.0, 0.0], [2.0, 4.0]]), np.array([[0.0, 1.0], [0.0, 5.0]])
    X = pd.DataFrame({"x": [1.0, 2.0]})
    several = tables.Table("a", X, y, "regression")
    assert (several.metric, several.score(y, predicted)) == (
        "aRRMSE",
        pytest.approx((2**0.5 / 1 + 1 / 2) / 2),
    )
    one = tables.Table("b", X, y[:, 0], "regression")
    assert (one.metric, one.score(y[:, 0], predicted[:, 0])) == ("RMSE", pytest.approx(2**0.5))
    classes = tables.Table("c", X, np.array([0, 1]), "classification")
    assert (classes.metric, classes.score(classes.y, np.array([1, 1]))) == ("accuracy", 0.5)


def test_data_are_described():
    readme = (tables.FOLDER / "README.md").read_text(encoding="utf-8")
    files = {path.name.removesuffix(".csv.xz") for path in tables.FOLDER.glob("*.xz")}
    assert files == set(tables.TARGETS)
    assert all(f"| `{name}` |" in readme for name in files)


@pytest.mark.parametrize("name", MODELS)
def test_models_fit_categories_missing_values_and_several_outputs(name):
    model = MODELS[name]
    if not model.installed:
        pytest.skip(f"{model.package} is not installed")
    for data, limit in (("penguins", 0.8), ("mtr_enb", 2.0)):
        table = quality.first_rows(tables.load(data), 60)
        parameters = model.make(table, 7).get_params()
        assert 7 in [parameters[key] for key in parameters if key.endswith("random_state")]
        score, seconds = quality.fit_and_score(model, table, 0)
        assert score > limit if table.task == "classification" else 0 < score < limit
        assert seconds > 0


def test_categories_of_models():
    X = pd.DataFrame({"x": [1.0, 2.0], "a": ["p", None]})
    model = Model(lambda table, seed: None)
    assert model.prepared(X) is X
    prepared = Model(lambda table, seed: None, categorical=True).prepared(X)
    assert [str(dtype) for dtype in prepared.dtypes] == ["float64", "category"]
    assert prepared["a"].isna().tolist() == [False, True]


def test_quality(monkeypatch, tmp_path, capsys):
    absent = Model(lambda table, seed: None, package="no_such_package")
    forest = MODELS["RandomForest"]
    monkeypatch.setattr(quality, "MODELS", {"forest": forest, "absent": absent})
    monkeypatch.setattr(quality, "QUICK_ROWS", 40)
    __main__.main(["--quick", "--only", "quality", "--out", str(tmp_path)])
    contents = report.load(tmp_path / "quality.json")
    assert contents["columns"] == ["forest"]
    names = [row["name"] for row in contents["rows"]]
    assert names == ["penguins: accuracy (higher is better)", "mtr_enb: aRRMSE (lower is better)"]
    assert all(
        row["rounds"] == 2 and row["scores"].keys() == {"forest"} for row in contents["rows"]
    )
    assert report.table(contents) in capsys.readouterr().out
    assert report.caption(contents).startswith("Mean \N{PLUS-MINUS SIGN} standard deviation of the")
    assert "over 2 seeds" in report.caption(contents)
    assert (tmp_path / "quality.png").stat().st_size > 0


def test_scores_as_text():
    score = Score.of([0.5, 0.7], [1.0, 3.0])
    assert str(score) == "0.6000 \N{PLUS-MINUS SIGN} 0.1414 (2 s)"
    assert str(Score.of([0.5], [123.4])) == "0.5000 \N{PLUS-MINUS SIGN} 0.0000 (123 s)"


@pytest.mark.parametrize("n_rows", [1, 3])
def test_dot_plot(n_rows, tmp_path):
    scores = {"tabular_pipeline": Score(0.1, 0.01, 5.0), "other": Score(0.9, 0.0, 0.02)}
    rows = [Row(f"table {i}", {}, scores=scores) for i in range(n_rows)]
    contents = report.document("quality", quality, rows, Plan(rounds=1), machine("cpu"))
    contents["columns"] = list(scores)
    dot_plot.draw(contents, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", tabular_defaults.VARIANTS)
def test_variants_of_the_defaults(name):
    encoder, network = tabular_defaults.VARIANTS[name]
    pipeline = tabular_defaults.variant(encoder, network).make(tabular_defaults.bundled("wine"), 0)
    numbers = pipeline[0].transformers[0][1]
    assert encoder.items() <= numbers.get_params().items()
    assert network.items() <= pipeline[-1].get_params().items()


def test_study_of_the_defaults_loads_the_chosen_data_only(capsys, monkeypatch):
    monkeypatch.setattr(tabular_defaults, "load", lambda name: pytest.fail(f"{name} was loaded"))
    arguments = ["--seeds", "1", "--data", "wine", "--variants", "RandomForest"]
    tabular_defaults.main(arguments)
    header, _, row = capsys.readouterr().out.splitlines()
    assert header == "| variant | wine |"
    assert float(row.split("|")[2]) < 0.1


def _compared(row, other):
    """Return the sign of the difference of the scores: 1 if the pipeline is better."""
    ours, theirs = (row["scores"][name]["mean"] for name in ("tabular_pipeline", other))
    return np.sign(ours - theirs) * (1 if "higher is better" in row["name"] else -1)


def test_readme_counts_the_tables_on_which_the_pipeline_is_better():
    rows = report.load(__main__.RESULTS / "quality.json")["rows"]
    readme = " ".join((__main__.ROOT / "README.md").read_text(encoding="utf-8").split())
    signs = [_compared(row, BOOSTING) for row in rows]
    assert f"better than {BOOSTING} on {signs.count(1)} of {len(rows)} real tables" in readme
    assert signs.count(0) == 1
    assert "and equal on one, in the mean of five seeds." in readme
    worse = {
        row["name"].split(":")[0]: row["scores"]["tabular_pipeline"]["mean"]
        - row["scores"][BOOSTING]["mean"]
        for row, sign in zip(rows, signs, strict=True)
        if sign < 0
    }
    assert list(worse) == ["churn", "adult"]
    lower = " and ".join(f"{-difference:.3f}" for difference in worse.values())
    assert f"On Churn and Adult, its accuracy is {lower} lower." in readme
    assert (
        f"RealMLP is worse on {[_compared(row, 'RealMLP-TD') for row in rows].count(1)}:" in readme
    )
