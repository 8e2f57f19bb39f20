"""Tests for the benchmarks, with problems that take a moment."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from benchmarks import (
    __main__,
    bfloat16,
    deployment,
    devices,
    fits,
    imports,
    memory,
    picture,
    predictions,
    probe,
    processes,
    products,
    report,
    searches,
)
from benchmarks.libraries import LIBRARIES, pytabkit, supports
from benchmarks.machine import machine
from benchmarks.measure import Plan, Ratio, Row, interleaved
from benchmarks.problems import PROBLEMS, Problem, largest, problems_of

ONCE = Plan(rounds=1)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr("benchmarks.measure.PAUSE", 0.0)


def tiny(solver="adam", kind="classification", hidden=(3,), name="tiny", **options):
    X, y = load_iris(return_X_y=True)
    y = {
        "classification": y,
        "multilabel": np.eye(3, dtype=int)[y],
        "regression": y.astype(float),
    }[kind]
    return Problem(name, lambda: (X, y), hidden, 100, 1, solver, kind, **options)


@pytest.fixture(autouse=True)
def _one_thread():
    """Compute on one thread: tests that run in parallel share the processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def contents():
    """The results of a section: two problems, one of which a library does not support."""
    first = {
        "scikit-learn f64 / ours f64": Ratio(1.0, 2.0, 3.0),
        "skorch / ours f32": Ratio(7.0, 8.0, 9.0),
    }
    second = {"scikit-learn f64 / ours f64": Ratio(4.0, 8.0, 8.5)}
    rows = [
        Row("one", first, {"torchmlp f64": 0.123456789}, rounds=5),
        Row("two", second, rounds=3),
    ]
    return report.document("fits", fits, rows, ONCE, machine("cpu"))


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_every_library_fits(solver, kind):
    problem = tiny(solver, kind)
    taken = fits.seconds_of(problem, ONCE)
    assert set(taken) == {name for name in LIBRARIES if supports(name, problem)}
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in taken.values())


def test_supports(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "pytabkit f32", (pytabkit, np.float32))
    for name in ("skorch f32", "skorch defaults f32", "pytabkit f32"):
        assert supports(name, tiny())
        assert not supports(name, tiny("lbfgs"))
        assert not supports(name, tiny(sparse=True))
    assert not supports("pytabkit f32", tiny("sgd"))
    assert not supports("pytabkit f32", tiny(kind="multilabel"))
    assert "pytabkit / ours f32" in fits.columns(ONCE)


def test_ratios_are_taken_round_by_round():
    ratio = Ratio.of([2.0, 9.0, 8.0], [1.0, 3.0, 2.0])
    assert (ratio.low, ratio.median, ratio.high) == (2.0, 3.0, 4.0)
    row = Row.of("a", {"x": [4.0], "y": [2.0]}, {"x / y": ("x", "y"), "x / z": ("x", "z")})
    assert row.ratios == {"x / y": Ratio(2.0, 2.0, 2.0)}
    assert row.seconds == {"x": 4.0, "y": 2.0}


def test_rounds_are_interleaved():
    order = []
    taken = interleaved({"x": "x", "y": "y"}, 9, lambda call: order.append(call) or len(order))
    rounds = list(zip(order[::2], order[1::2], strict=True))
    assert len(rounds) == 1 + 9  # the first is not counted
    assert {("x", "y"), ("y", "x")} == set(rounds)
    assert taken == {name: [i + 1 for i in range(2, 20) if order[i] == name] for name in "xy"}


def test_long_fits_take_fewer_rounds():
    for problem, plan, rounds in (
        (tiny(), Plan(rounds=5), 5),
        (tiny(max_rounds=3), Plan(rounds=5), 3),
        (tiny(max_rounds=3), ONCE, 1),
    ):
        assert problem.rounds(plan) == rounds
    taken = fits.seconds_of(tiny(max_rounds=1), Plan(rounds=2))
    assert {len(rounds) for rounds in taken.values()} == {1}


def test_names_of_sparse_problems():
    for problem in PROBLEMS:
        assert problem.sparse == problem.name.startswith("sparse")


def test_largest_problem_is_a_regression():
    # `products.units_of` counts one output.
    for device in ("cpu", "cuda"):
        for quick in (False, True):
            assert largest(Plan(device=device, quick=quick)).kind == "regression"


def test_problems_cover_every_kind():
    assert len({problem.name for problem in PROBLEMS}) == len(PROBLEMS)
    assert {0, 1, 16, 32, 200, 4096} <= {problem.batch for problem in PROBLEMS}
    wanted = {(10,), (100,), (256, 256), (1024, 1024, 1024)}
    assert wanted <= {problem.hidden for problem in PROBLEMS}
    assert {"classification", "multilabel", "regression"} == {problem.kind for problem in PROBLEMS}
    assert {"adam", "sgd", "lbfgs"} == {problem.solver for problem in PROBLEMS}
    gpu_only = [problem for problem in PROBLEMS if problem.gpu_only]
    assert {problem.hidden for problem in gpu_only} == {(256, 256), (4096, 4096, 4096)}
    assert problems_of(Plan(device="cuda")) == PROBLEMS
    assert not set(gpu_only) & set(problems_of(Plan()))
    assert 0 < len(problems_of(Plan(quick=True))) < len(problems_of(Plan()))


def test_bare_products_equal_those_of_a_fit(monkeypatch):
    multiplied = []

    def counted(a, b, *, out):
        assert out.shape == (a.shape[0], b.shape[1])
        multiplied.append(a.shape[0] * a.shape[1] * b.shape[1])
        return out

    wide = products.Products((200, 100, 70, 1), 300, torch.float64, "cpu")
    by_columns = [matrix.stride()[0] == 1 for matrix in wide.flows + wide.coefs + wide.deltas]
    assert by_columns == [False, True, True, True, True, True, True, True, True]
    assert [output.stride() for output in wide.outputs] == [d.stride() for d in wide.deltas]
    steps = products.steps(10, 4)
    assert steps == [4, 4, 2]
    bare = products.Products((5, 3, 2, 1), 4, torch.float64, "cpu")
    monkeypatch.setattr(torch, "mm", counted)
    bare.run(steps)
    # X W and X' delta of every layer, delta W' of all but the first.
    assert len(multiplied) == 8 * len(steps)
    by_hand = 10 * (2 * 15 + 3 * 6 + 3 * 2)
    assert sum(multiplied) == products.multiply_adds((5, 3, 2, 1), 10) == by_hand


@pytest.mark.parametrize("dtype", products.DTYPES)
def test_share_of_the_bare_products(dtype):
    row = products.row(tiny(kind="regression"), dtype, ONCE)
    share = row.ratios[products.SHARE].median
    assert share == pytest.approx(row.seconds["bare products"] / row.seconds["torchmlp"])
    rates = [row.figures[column] for column in products.columns(ONCE)[1:]]
    assert rates[0] / rates[1] == pytest.approx(share)


def test_bfloat16_beside_float32(monkeypatch):
    monkeypatch.setattr("torchmlp.training.device.placement.MIN_WORK_FOR_BFLOAT16", 0)
    capabilities = {"avx512_bf16": True}
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities, raising=False)
    row = bfloat16.row(tiny(kind="regression", hidden=(100,)), ONCE)
    assert {*row.ratios, *row.figures} == set(bfloat16.columns(ONCE))
    scores = [row.figures[f"r2 of {dtype}"] for dtype in bfloat16.DTYPES]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)
    assert scores[0] != scores[1]


def test_predictions():
    row = predictions.row(5, 2, ONCE)
    assert list(row.ratios) == predictions.columns(ONCE)
    assert all(seconds > 0 for seconds in row.seconds.values())


def test_peak_memory():
    if not probe.available():
        assert not list(memory.rows(ONCE))
        return
    n_bytes = 64 << 20
    assert probe.peak_bytes("benchmarks.probe:ones", n_bytes) == pytest.approx(n_bytes, rel=0.1)
    with pytest.raises(RuntimeError, match="no_such_thing"):
        probe.peak_bytes("benchmarks.probe:no_such_thing")
    row = memory.row("predict", "float32", 50_000, 20, 1)
    assert {*row.ratios, *row.figures} == set(memory.columns(ONCE))
    assert row.figures["MiB of X"] == pytest.approx(50_000 * 20 * 4 / (1 << 20))
    # scikit-learn holds the hidden layer of all rows.
    assert row.figures["MiB of scikit-learn"] > 50_000 * 100 * 4 / (1 << 20)
    assert memory.fit("torchmlp", "float64", 1000, 3)().n_iter_ == 1


def test_searches():
    (search,) = searches.searches(quick=True)
    row = searches.row(search, 1)
    assert {*row.ratios, *row.figures} == set(searches.columns(ONCE))
    assert search.n_steps == 80 * 2 * 8


def test_imports():
    row = imports.row(1, n_warm=0)
    assert {*row.ratios, *row.figures} == set(imports.columns(ONCE))
    assert row.ratios[imports.RATIO].low > 1
    assert row.seconds["together"] == row.seconds["others"] + row.seconds["torchmlp"]


def test_first_prediction_of_a_stored_model(tmp_path):
    if not probe.available():
        pytest.skip("the memory of a process can be measured on Linux only")
    paths = deployment.files(tmp_path)
    forms = ("to_sklearn(), pickle", "ONNX, onnxruntime")  # importing torch would take longer
    found = [deployment.measure(paths[form]) for form in forms]
    X = predictions.random_rows(1, predictions.N_FEATURES, "float32")
    label = pickle.loads(paths["pickle"].read_bytes()).predict(X)[0]
    assert [measured.label for measured in found] == [label, label]
    assert all(measured.seconds > 200 * measured.latency > 0 for measured in found)
    assert all(measured.n_bytes > 10 << 20 for measured in found)


def test_deployment(monkeypatch):
    seconds = {"model.pickle": 2.0, "model.joblib": 3.0, "sklearn.pickle": 1.0, "model.onnx": 0.5}
    monkeypatch.setattr(probe, "available", lambda: True)
    monkeypatch.setattr(
        deployment,
        "measure",
        lambda path: deployment.Measured(0, seconds[path.name], 3 << 20, 2e-6),
    )
    rows = list(deployment.rows(ONCE, n_warm=0))
    assert [row.ratios[deployment.RATIO].median for row in rows] == [1.0, 1.5, 0.5, 0.25]
    for row in rows:
        assert {*row.ratios, *row.figures} == set(deployment.columns(ONCE))
        assert row.figures[deployment.MEMORY] == 3.0
        assert row.figures[deployment.LATENCY] == pytest.approx(2.0)
        assert 1 < row.figures[deployment.SIZE] < 100


def test_interrupted_run_keeps_its_rows(monkeypatch, tmp_path):
    def rows(plan):
        yield Row("first", {"cpu / cpu": Ratio(1.0, 2.0, 3.0)})
        raise KeyboardInterrupt

    monkeypatch.setattr(devices, "rows", rows)
    with pytest.raises(KeyboardInterrupt):
        __main__.main(["--only", "devices", "--out", str(tmp_path)])
    saved = report.load(tmp_path / "devices.json")["rows"]
    assert [row["name"] for row in saved] == ["first"]


def test_devices():
    assert list(devices.row(tiny(), ONCE).ratios) == devices.columns(ONCE) == ["cpu / cpu"]
    assert devices.columns(Plan(device="cuda")) == ["cpu / cuda"]
    assert "devices" in __main__.sections_of(Plan(device="cuda"))
    assert set(__main__.sections_of(ONCE)) == __main__.SECTIONS.keys() - {"devices"}


def test_results_are_saved_and_loaded(contents, tmp_path):
    assert report.load(report.save(contents, tmp_path / "new")) == contents
    assert {"date", "machine", "versions"} <= contents.keys()
    assert contents["rows"][0]["seconds"] == {"torchmlp f64": 0.1235}
    assert report.ratios(contents, "skorch / ours f32") == {"one": Ratio(7.0, 8.0, 9.0)}
    assert report.caption(contents).startswith("Medians of 3 to 5 interleaved rounds")
    assert contents["geometric means"]["scikit-learn f64 / ours f64"]["median"] == 4.0


def test_table_in_markdown(contents):
    columns = ["scikit-learn f64 / ours f64", "skorch / ours f32"]
    assert report.table(contents, columns).replace("\N{EN DASH}", "-").splitlines() == [
        "| problem | scikit-learn f64 / ours f64 | skorch / ours f32 |",
        "| --- | ---: | ---: |",
        "| one | 2.00 (1.00-3.00) | 8.00 (7.00-9.00) |",
        "| two | 8.00 (4.00-8.50) |  |",
        "| geometric mean (smallest-largest) | 4.00 (2.00-8.00) | 8.00 (8.00-8.00) |",
    ]


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_picture(contents, tmp_path, name, begins):
    picture.draw(contents, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_command_prints_saves_and_rewrites_the_pages(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("benchmarks.problems.PROBLEMS", [tiny(), tiny("lbfgs", name="second")])
    pages = {"fits": list(fits.RATIOS), "devices": None}
    begin, end = report.markers("fits")
    for section in pages:
        (tmp_path / section).write_text("\n".join(["a", *report.markers(section), "b\n"]), "utf-8")
    monkeypatch.setattr(__main__, "PAGES", {s: (tmp_path / s, c) for s, c in pages.items()})
    __main__.main(["--rounds", "1", "--only", *pages, "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    saved = {name: report.load(tmp_path / f"{name}.json") for name in pages}
    assert all(report.table(contents) in printed for contents in saved.values())
    assert (tmp_path / "fits.png").stat().st_size > 0
    assert (tmp_path / "fits").read_text("utf-8") == f"a\n{begin}\n{end}\nb\n"
    __main__.main(["--docs", "--out", str(tmp_path)])
    for section, columns in pages.items():
        new = f"a\n{report.page_block(saved[section], columns)}\nb\n"
        assert (tmp_path / section).read_text("utf-8") == new
    with pytest.raises(ValueError, match="no block between"):
        report.rewritten("nothing", saved["fits"])


def test_load_is_measured_before_the_run(monkeypatch, capsys, tmp_path):
    loads = [(0.75, 0, 0)]  # asked once
    monkeypatch.setattr("os.getloadavg", loads.pop, raising=False)
    monkeypatch.setattr("benchmarks.problems.PROBLEMS", [tiny()])
    arguments = ["--rounds", "1", "--only", "devices", "--out", str(tmp_path)]
    __main__.main(arguments)
    assert "busy" in capsys.readouterr().out
    assert report.load(tmp_path / "devices.json")["machine"]["load_before"] == 0.75
    monkeypatch.delattr("os.getloadavg")
    __main__.main(arguments)
    assert "busy" not in capsys.readouterr().out
    assert "load_before" not in report.load(tmp_path / "devices.json")["machine"]


def test_folders_of_the_results():
    folders = [
        __main__.results_of(Plan(device=device, quick=quick)).relative_to(__main__.RESULTS)
        for device in ("cpu", "cuda:1")
        for quick in (False, True)
    ]
    assert folders == [Path(), Path("quick"), Path("cuda-1"), Path("cuda-1/quick")]


@pytest.mark.parametrize("section", __main__.PAGES)
def test_pages_have_the_tables_of_the_results(section):
    page, columns = __main__.PAGES[section]
    contents = report.load(__main__.RESULTS / f"{section}.json")
    assert report.page_block(contents, columns) in page.read_text(encoding="utf-8")


def test_readme_has_the_geometric_means_of_the_results():
    readme = (__main__.ROOT / "README.md").read_text(encoding="utf-8")
    means = report.load(__main__.RESULTS / "fits.json")["geometric means"]
    double, single = (
        means[f"scikit-learn {dtype} / ours {dtype}"]["median"] for dtype in ("f64", "f32")
    )
    assert f"{double:.1f} times as fast as scikit-learn in float64" in " ".join(readme.split())
    assert f"{single:.1f} times in float32" in " ".join(readme.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--device", "cuda:77"], "device='cuda:77' is not available"),
        (["--docs", "--out", "nowhere"], "nowhere has no fits.json"),
    ],
)
def test_invalid_arguments_raise(arguments, message, capsys):
    with pytest.raises(SystemExit):
        __main__.main(arguments)
    assert message in capsys.readouterr().err


def test_processes_are_compared_with_one_process(monkeypatch):
    taken = {(1, 1): (4.0, 0.0), (1, 2): (3.0, 0.0), (2, 1): (2.0, 0.25)}
    monkeypatch.setattr(processes, "run", lambda n, threads, *_: taken[n, threads])
    row = processes.row(n_rows=10, batch_size=5, rounds=2)
    assert [ratio.median for ratio in row.ratios.values()] == [2.0, 1.5]
    assert row.figures[processes.SHARE] == 0.25
    assert {*row.ratios, *row.figures} == set(processes.columns(ONCE))
