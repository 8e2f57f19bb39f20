"""Tests for torchmlp.preprocessing."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import skops.io
from helpers import STRICT, iris
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from torchmlp import TorchMLPClassifier
from torchmlp import preprocessing as module
from torchmlp.preprocessing import PiecewiseLinearEncoder

Encoder = PiecewiseLinearEncoder
X, y = load_diabetes(return_X_y=True)
RNG = np.random.RandomState(0)
WITH_MISSING = np.where(RNG.rand(*X.shape) < [[0.3] * 3 + [0.0] * 7], np.nan, X)
WEIGHTS = RNG.randint(0, 4, len(X))


@parametrize_with_checks(
    [
        Encoder(),
        Encoder(bins="quantile"),
        Encoder(4, min_samples_leaf=1, target_type="continuous"),
        Encoder(sparse_output=True, min_samples_leaf=1, dtype=np.float64),
        Encoder(subsample=10, min_samples_leaf=1, random_state=0),
        Encoder(add_scaled=True, handle_missing="median"),
    ],
    **STRICT,
)
def test_estimator_checks(estimator, check):
    if estimator.subsample == 10 and "sample_weight_equivalence" in check.func.__name__:
        pytest.skip("a subsample of repeated rows differs from that of the weighted rows")
    check(estimator)


def definition(x, edges):
    """Return the components of one number, as defined in section 3.2 of arXiv:2203.05556."""
    n_bins, components = len(edges) - 1, []
    for k in range(1, n_bins + 1):
        if x < edges[k - 1] and k > 1:
            components.append(0.0)
        elif x >= edges[k] and k < n_bins:
            components.append(1.0)
        else:
            components.append((x - edges[k - 1]) / (edges[k] - edges[k - 1]))
    return components


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", ["target", "quantile"])
def test_components_equal_the_definition_of_the_paper(bins, dtype):
    encoder = Encoder(7, bins=bins, min_samples_leaf=10, dtype=dtype).fit(X, y)
    outside = np.vstack([X, 3 * X, *np.transpose([e[[0, -1]] for e in encoder.bin_edges_])])
    assert encoder.n_bins_.max() >= 7
    assert encoder.n_bins_.min() <= 2
    expected = [
        np.concatenate([definition(*pair) for pair in zip(row, encoder.bin_edges_, strict=True)])
        for row in outside
    ]
    encoded = encoder.transform(outside)
    assert encoded.dtype == dtype
    assert encoded.flags.c_contiguous
    np.testing.assert_allclose(encoded, expected, rtol=10 * np.finfo(dtype).eps, atol=1e-13)


def test_values_are_a_linear_function_of_their_components():
    encoder = Encoder(bins="quantile", dtype=np.float64).fit(X)
    encoded = np.split(encoder.transform(2 * X), np.cumsum(encoder.n_bins_)[:-1], axis=1)
    for x, edges, components in zip(2 * X.T, encoder.bin_edges_, encoded, strict=True):
        np.testing.assert_allclose(edges[0] + components @ np.diff(edges), x, atol=1e-12)


TREES = {
    "continuous": (DecisionTreeRegressor, y / y.std()),
    "two classes": (DecisionTreeClassifier, y > 140),
    "strings": (DecisionTreeClassifier, np.array(["low", "middle", "high"])[y.astype(int) % 3]),
    "multilabel": (DecisionTreeClassifier, np.c_[y > 100, y > 150].astype(int)),
}


def _check_inner_edges(edges, thresholds, x):
    """Check that the edges are the thresholds, or the two values beside a threshold."""
    explained = {edges[0], edges[-1]}
    for threshold in thresholds:
        found = edges[np.isclose(edges, threshold, rtol=1e-6)].tolist()
        beside = [x[x <= threshold].max(), x[x > threshold].min()]
        assert found or np.isin(beside, edges).all()
        explained.update(found or beside)
    assert explained == set(edges)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", TREES)
def test_inner_edges_are_thresholds_of_a_tree(name, weighted):
    Tree, target = TREES[name]
    weights = WEIGHTS * 1.0 if weighted else None
    used = WEIGHTS > 0 if weighted else slice(None)
    encoder = Encoder(9, min_samples_leaf=20).fit(X, target, weights)
    assert encoder.target_type_ == ("continuous" if name == "continuous" else "multiclass")
    weights = weights[used] if weighted else None
    root = Tree(max_depth=1).fit(X[used], target[used], weights).tree_.impurity[0]
    for x, edges in zip(X[used].T, encoder.bin_edges_, strict=True):
        tree = Tree(max_leaf_nodes=9, min_samples_leaf=20, min_impurity_decrease=5e-4 * root)
        nodes = tree.fit(x[:, None], target[used], weights).tree_
        thresholds = np.sort(nodes.threshold[nodes.feature >= 0])
        _check_inner_edges(edges, thresholds, x)
        assert edges[0] == x.min()
        assert edges[-1] == x.max()


def test_columns_of_a_continuous_target_count_equally():
    targets = np.c_[y, np.sin(20 * X[:, 2])]
    expected = Encoder().fit(X, targets).bin_edges_
    scaled = Encoder().fit(X, targets * [1e6, 1e-6] + [1e8, 0]).bin_edges_
    for one, other in zip(expected, scaled, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_edges_do_not_depend_on_the_scale_of_the_target(scale):
    edges = Encoder(min_samples_leaf=10).fit(X, y * scale + 1e4 * scale).bin_edges_
    for one, other in zip(Encoder(min_samples_leaf=10).fit(X, y).bin_edges_, edges, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1.0, 1e200])
def test_edges_follow_the_scale_of_the_features(scale):
    expected = Encoder(min_samples_leaf=10).fit(X, y)
    scaled = Encoder(min_samples_leaf=10).fit(X * scale, y)
    for one, other in zip(expected.bin_edges_, scaled.bin_edges_, strict=True):
        np.testing.assert_allclose(other, one * scale, rtol=1e-9)
    encoded = scaled.transform(X * scale)
    np.testing.assert_allclose(encoded, expected.transform(X), rtol=1e-5, atol=1e-6)


def test_close_values_far_from_zero_are_separated():
    seconds = 1.7e9 + np.arange(400.0)[:, None]
    encoder = Encoder(4, min_samples_leaf=10).fit(seconds, seconds.ravel() > 1.7e9 + 129)
    np.testing.assert_array_equal(encoder.bin_edges_[0] - 1.7e9, [0, 129.5, 399])
    np.testing.assert_array_equal(encoder.transform(seconds)[-1], [1, 1])


@pytest.mark.parametrize(("gap", "is_bin"), [(0.11, True), (0.09, False)])
def test_wide_gaps_between_values_are_bins(gap, is_bin):
    left = np.linspace(0, 1 - gap / 2, 300)
    right = np.linspace(1 + gap / 2, 10, 300)
    features = np.r_[left, right][:, None]
    edges = Encoder().fit(features, features.ravel() > 1).bin_edges_[0]
    np.testing.assert_allclose(edges, [0, left[-1], right[0], 10] if is_bin else [0, 1, 10])


def test_components_separate_neighboring_whole_numbers():
    ages = np.repeat(np.arange(5), 100)[:, None]
    encoder = Encoder().fit(ages, np.isin(ages.ravel(), [1, 3]))
    np.testing.assert_array_equal(encoder.bin_edges_[0], np.arange(5))
    np.testing.assert_array_equal(encoder.transform(np.arange(5)[:, None]), np.tri(5, 4, -1))


def test_two_values_have_a_single_component():
    encoder = Encoder().fit(np.repeat([[1.0], [3.0]], 100, axis=0), np.repeat([0, 1], 100))
    np.testing.assert_array_equal(encoder.transform([[1.0], [2.0], [3.0]]), [[0], [0.5], [1]])


def test_pruning_removes_bins_without_information():
    noise = np.random.RandomState(1).rand(20_000, 1)
    target = np.random.RandomState(2).rand(20_000)
    assert Encoder(min_impurity_fraction=0.0).fit(noise, target).n_bins_ == [48]
    assert Encoder().fit(noise, target).n_bins_ <= [5]
    assert Encoder(min_impurity_fraction=0.9).fit(X, y).n_bins_.tolist() == [1] * 10


def test_few_samples_give_one_bin_of_the_scaled_feature():
    encoder = Encoder(dtype=np.float64).fit(X[:127], y[:127])
    assert encoder.n_bins_.tolist() == [1] * 10
    low, high = X[:127].min(axis=0), X[:127].max(axis=0)
    np.testing.assert_allclose(encoder.transform(X), (X - low) / (high - low), atol=1e-12)


def test_quantiles_equal_those_of_numpy():
    encoder = Encoder(8, bins="quantile").fit(X)
    levels = np.arange(9) / 8
    for x, edges in zip(X.T, encoder.bin_edges_, strict=True):
        expected = np.quantile(x, levels, method="inverted_cdf")
        np.testing.assert_array_equal(edges, np.unique(expected))
    assert encoder.target_type_ is None


@pytest.mark.parametrize("bins", ["target", "quantile"])
def test_weights_are_repetitions_and_zero_removes_a_row(bins):
    encoder = Encoder(12, bins=bins, min_samples_leaf=1, add_scaled=True)
    weighted = clone(encoder).fit(WITH_MISSING, y, WEIGHTS)
    rows = np.repeat(np.arange(len(X)), WEIGHTS)
    repeated = encoder.fit(WITH_MISSING[rows], y[rows])
    for one, other in zip(weighted.bin_edges_, repeated.bin_edges_, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(weighted.has_missing_, repeated.has_missing_)
    np.testing.assert_array_equal(weighted.median_, repeated.median_)
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


@pytest.mark.parametrize("bins", ["target", "quantile"])
def test_missing_values_have_a_column_and_no_influence_on_the_edges(bins):
    encoder = Encoder(6, bins=bins, min_samples_leaf=10)
    names = [f"f{j}" for j in range(10)]
    fitted = clone(encoder).fit(pd.DataFrame(WITH_MISSING, columns=names), y)
    assert fitted.has_missing_.tolist() == [True] * 3 + [False] * 7
    frame = pd.DataFrame(
        fitted.transform(pd.DataFrame(WITH_MISSING, columns=names)),
        columns=fitted.get_feature_names_out(),
    )
    for j, name in enumerate(names):
        missing = np.isnan(WITH_MISSING[:, j])
        columns = [column for column in frame if column.startswith(f"{name}_bin_")]
        rest = encoder.fit(X[~missing, j : j + 1], y[~missing])
        if bins == "quantile" or not missing.any():
            np.testing.assert_array_equal(fitted.bin_edges_[j], rest.bin_edges_[0])
        assert (frame.loc[missing, columns] == 0).all(axis=None)
        if missing.any():
            np.testing.assert_array_equal(frame[f"{name}_missing"], missing)
        else:
            assert f"{name}_missing" not in frame


def test_unexpected_missing_values_raise():
    encoder = Encoder().fit(WITH_MISSING, y)
    encoder.transform(np.where(np.arange(10) < 3, np.nan, X))
    with pytest.raises(ValueError, match=r"features \['x3', 'x9'\], which had none .*='median'"):
        encoder.transform(np.where(np.isin(np.arange(10), [0, 3, 9]), np.nan, X))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_scaled_columns_are_standardized_and_clipped(scale, weighted):
    weights = WEIGHTS if weighted else None
    data = np.c_[WITH_MISSING, np.full(len(X), 2.0), np.full(len(X), np.nan)] * scale
    encoder = Encoder(3, add_scaled=True, dtype=np.float64).fit(data, y, weights)
    assert encoder.has_scaled_.tolist() == [True] * 10 + [False] * 2  # constant, all missing
    frame = pd.DataFrame(encoder.transform(data), columns=encoder.get_feature_names_out())
    plain = Encoder(3, dtype=np.float64).fit(data, y, weights)
    names = [f"x{j}_scaled" for j in range(10)]
    np.testing.assert_array_equal(frame.drop(columns=names), plain.transform(data))
    scaler = StandardScaler().fit(WITH_MISSING, sample_weight=weights)
    expected = np.nan_to_num(np.clip(scaler.transform(WITH_MISSING), -3, 3))
    np.testing.assert_allclose(frame[names], expected, atol=1e-12)
    assert np.isnan(encoder.mean_[10:]).all()


def test_features_with_many_bins_have_no_scaled_column():
    encoder = Encoder(8, bins="quantile", add_scaled=True).fit(X)
    assert encoder.n_bins_.tolist() == [8, 1, 8, 8, 8, 8, 8, 6, 8, 8]
    assert np.isnan(encoder.mean_).tolist() == [j not in (1, 7) for j in range(10)]
    assert np.flatnonzero(encoder.has_scaled_).tolist() == [1, 7]
    names = encoder.get_feature_names_out()
    assert [name for name in names if "scaled" in name] == ["x1_scaled", "x7_scaled"]
    assert encoder.transform(X).shape == (len(X), len(names))
    assert not Encoder().fit(X, y).has_scaled_.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unexpected_missing_values_can_be_the_median(dtype):
    data = WITH_MISSING.astype(dtype)
    encoder = Encoder(handle_missing="median").fit(data, y)
    expected = np.nanquantile(data, 0.5, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(encoder.median_, expected)
    missing = np.isin(np.arange(10), [0, 3, 9])
    imputed = np.where(missing & (np.arange(10) > 2), expected, data)
    imputed[:, 0] = np.nan  # had missing values during fit, and a column for them
    encoded = encoder.transform(np.where(missing, np.nan, data).astype(dtype))
    np.testing.assert_array_equal(encoded, encoder.transform(imputed.astype(dtype)))


def test_the_median_is_not_rounded_to_the_dtype_of_the_input():
    data = np.array([1e9 + 1, 1e9 + 2, 1e9 + 3, 1e300])[:, None]
    encoder = Encoder(2, bins="quantile", handle_missing="median").fit(data)
    expected = encoder.transform([[1e9 + 2]])
    encoded = encoder.transform(np.array([[np.nan]], dtype=np.float32))
    np.testing.assert_array_equal(encoded, expected)
    data[1:] = 1e300
    encoder.fit(data)
    assert np.isfinite(encoder.transform(np.array([[np.nan]], dtype=np.float32))).all()


EXTREME = {
    "range": np.linspace(-1, 1, 200) * 1.7e308,
    "half a range": np.linspace(0, 1, 200) * 1.7e308,
    "tiny": np.linspace(1, 2, 200) * 1e-40,
    "subnormal": np.linspace(1, 2, 200) * 1e-310,
    "both": np.r_[-1.7e308, np.linspace(1, 2, 198) * 1e-300, 1.7e308],
}


@pytest.mark.parametrize("add_scaled", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", ["target", "quantile"])
@pytest.mark.parametrize("name", EXTREME)
def test_finite_features_have_finite_components(name, bins, dtype, add_scaled):
    x = EXTREME[name][:, None]
    encoder = Encoder(3, bins=bins, min_samples_leaf=5, dtype=dtype, add_scaled=add_scaled)
    encoder.fit(x, np.sign(np.sin(np.arange(200) / 20)))
    outside = np.array([[-1.7e308], [-1.0], [-1e-40], [0.0], [1e-40], [1.0], [1.7e308]])
    for values in x, outside:
        encoded = encoder.transform(values)
        assert np.isfinite(encoded).all()
        assert (np.diff(encoded, axis=0) >= 0).all()
    if name == "range":
        whole = Encoder(dtype=dtype, min_samples_leaf=200).fit_transform(x, np.arange(200))
        np.testing.assert_allclose(whole.ravel(), np.linspace(0, 1, 200), atol=1e-6)


def test_constant_and_empty_features():
    features = np.column_stack([np.full(len(X), 3.0), np.full(len(X), np.nan), X[:, 2]])
    features[:5, 0] = np.nan
    encoder = Encoder(3).fit(features, y)
    assert [edges.tolist() for edges in encoder.bin_edges_[:2]] == [[3.0, 3.0], []]
    assert encoder.n_bins_.tolist() == [1, 0, 3]
    assert encoder.get_feature_names_out()[:3].tolist() == ["x0_bin_0", "x0_missing", "x1_missing"]
    encoded = encoder.transform([[3.0, np.nan, 0.0], [-8.0, 5.0, 0.0], [np.nan, np.nan, 0.0]])
    np.testing.assert_array_equal(encoded[:, :3], [[0, 0, 1], [0, 0, 0], [0, 1, 1]])
    assert not np.signbit(encoded).any()
    np.testing.assert_array_equal(encoder.median_[:2], [3.0, np.nan])


def test_outer_edges_do_not_depend_on_the_subsample():
    encoder = Encoder(5, subsample=150, min_samples_leaf=10, random_state=0)
    edges = encoder.fit(WITH_MISSING, y).bin_edges_
    for x, inner, again in zip(
        WITH_MISSING.T, edges, encoder.fit(WITH_MISSING, y).bin_edges_, strict=True
    ):
        np.testing.assert_array_equal(inner, again)
        assert inner[[0, -1]].tolist() == [np.nanmin(x), np.nanmax(x)]
    full = encoder.set_params(subsample=None).fit(WITH_MISSING, y).bin_edges_
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(edges, full, strict=True))


def test_blocks_of_rows_do_not_change_the_result(monkeypatch):
    encoder = Encoder(bins="quantile").fit(WITH_MISSING)
    expected = encoder.transform(WITH_MISSING)
    for size in (1, 1000, 10**9):
        monkeypatch.setattr(module, "BLOCK_SIZE", size)
        np.testing.assert_array_equal(encoder.transform(WITH_MISSING), expected)


def test_sparse_output_equals_dense_output():
    dense, sparse = Encoder().fit(WITH_MISSING, y), Encoder(sparse_output=True)
    encoded = sparse.fit_transform(WITH_MISSING, y)
    assert isinstance(encoded, sp.csr_array)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded.toarray(), dense.transform(WITH_MISSING))


def test_float32_features_are_encoded_like_the_same_numbers_in_float64():
    X32 = (X + 1000).astype(np.float32)
    one, other = Encoder(min_samples_leaf=10), Encoder(min_samples_leaf=10)
    encoded = one.fit_transform(X32, y)
    np.testing.assert_array_equal(encoded, other.fit_transform(X32.astype(np.float64), y))
    for edges, expected in zip(one.bin_edges_, other.bin_edges_, strict=True):
        assert edges.dtype == np.float64
        np.testing.assert_array_equal(edges, expected)


NAMES = [f"f{j}" for j in range(10)]


def test_frames_and_feature_names():
    frame = pd.DataFrame(WITH_MISSING, columns=NAMES)
    encoder = Encoder(3, bins="quantile").fit(frame)
    names = encoder.get_feature_names_out().tolist()
    assert names[:5] == ["f0_bin_0", "f0_bin_1", "f0_bin_2", "f0_missing", "f1_bin_0"]
    assert encoder.feature_names_in_.tolist() == NAMES
    assert encoder.n_features_in_ == 10
    expected = encoder.transform(frame)
    assert isinstance(expected, np.ndarray)
    for library, container in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        got = clone(encoder).set_output(transform=library).fit_transform(container(dict(frame)))
        assert isinstance(got, container)
        assert list(got.columns) == names
        np.testing.assert_array_equal(got.to_numpy(), expected)
    columns = make_column_transformer((Encoder(3, bins="quantile"), NAMES[:1]), remainder="drop")
    named = columns.fit(frame).get_feature_names_out()
    assert named[-1] == "piecewiselinearencoder__f0_missing"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (y, "continuous"),  # whole numbers, 214 of them distinct
        (np.round(y / 10), "multiclass"),
        (y / 7, "continuous"),
        (y > 140, "multiclass"),
        (np.c_[y, y / 2], "continuous"),
        (np.c_[y > 140, y > 90], "multiclass"),
        (np.round(np.c_[y, -y] / 100), "multiclass"),
        (pd.Series(np.where(y > 140, "high", "low")), "multiclass"),
        (sp.csr_array(np.c_[y > 140, y > 90].astype(int)), "multiclass"),
    ],
)
def test_type_of_the_target(target, expected):
    assert Encoder().fit(X, target).target_type_ == expected


@pytest.mark.parametrize("target", [y > 140, y])
@pytest.mark.parametrize("scale", [2.0**-1060, 2.0**900])
def test_edges_do_not_depend_on_the_scale_of_the_weights(scale, target):
    expected = Encoder(6, min_samples_leaf=10).fit(X, target, WEIGHTS).bin_edges_
    edges = Encoder(6, min_samples_leaf=10).fit(X, target, WEIGHTS * scale).bin_edges_
    for one, other in zip(expected, edges, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**1000])
@pytest.mark.parametrize("columns", [1, 2])
def test_edges_do_not_depend_on_extreme_scales_of_the_target(columns, scale):
    targets = np.c_[y, -y][:, :columns]
    expected = Encoder(min_samples_leaf=10).fit(X, targets).bin_edges_
    for target_type in "auto", "continuous":
        encoder = Encoder(min_samples_leaf=10, target_type=target_type).fit(X, targets * scale)
        for one, other in zip(expected, encoder.bin_edges_, strict=True):
            np.testing.assert_array_equal(one, other)
    Encoder().fit(X, np.where(y > 140, 1e300, 0.0))


LARGE = {"n_bins": [10**12, 2**70, np.int8(64)], "min_samples_leaf": [2**62, 2**70, np.int8(64)]}


@pytest.mark.parametrize("bins", ["target", "quantile"])
@pytest.mark.parametrize("name", LARGE)
def test_integer_parameters_can_have_any_size_and_type(name, bins):
    for value in LARGE[name]:
        smaller = min(int(value), 10 * len(X))
        encoder = Encoder(**{"bins": bins, "min_samples_leaf": 1, name: value}).fit(X, y)
        expected = Encoder(**{"bins": bins, "min_samples_leaf": 1, name: smaller}).fit(X, y)
        for one, other in zip(encoder.bin_edges_, expected.bin_edges_, strict=True):
            np.testing.assert_array_equal(one, other)


def test_many_classes_give_no_warning_if_the_target_type_is_given(recwarn):
    names = np.array([f"name {i}" for i in range(len(X))])
    Encoder(target_type="multiclass").fit(X, names)
    Encoder(target_type="multiclass").fit(X, y)
    assert not recwarn.list


FAILING = {
    "no target": (X[:, :2], None, None),
    "unknown labels": (X[:, :2], np.array([3, "a"], dtype=object)[WEIGHTS % 2], None),
    "weights": (X[:, :2], y, -WEIGHTS),
    "names of different types": (pd.DataFrame(X[:, :2], columns=["a", 1]), y, None),
}


@pytest.mark.parametrize("arguments", FAILING.values(), ids=FAILING)
def test_a_failed_fit_leaves_the_encoder_unchanged(arguments):
    encoder = Encoder(target_type="multiclass").fit(pd.DataFrame(X, columns=NAMES), y > 140)
    before = dict(vars(encoder.set_params(target_type="auto")))
    with pytest.raises((TypeError, ValueError)):
        encoder.fit(*arguments)
    assert vars(encoder) == before


def test_errors_name_the_columns_with_unusable_values():
    frame = pd.DataFrame({"age": [1.0, 2.0], "income": [np.inf, 1.0], "city": [3.0, 4.0]})
    encoder = Encoder(bins="quantile")
    with pytest.raises(ValueError, match=r"columns \['income'\]: Input X contains infinity"):
        encoder.fit(frame)
    encoder.fit(frame.fillna(0).replace(np.inf, 0))
    with pytest.raises(ValueError, match=r"columns \['city'\]: could not convert"):
        encoder.transform(frame.assign(city="Oslo"))


def test_counts_can_be_continuous():
    counts = np.round(y / 10)
    encoder = Encoder(target_type="continuous").fit(X, counts)
    nearly = Encoder().fit(X, counts + y / 1e9)
    for one, other in zip(encoder.bin_edges_, nearly.bin_edges_, strict=True):
        np.testing.assert_array_equal(one, other)
    classes = Encoder(target_type="multiclass").fit(X, y)
    assert classes.target_type_ == "multiclass"


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ({}, (X,), r"bins='target' requires y to be passed.* use bins='quantile'"),
        ({}, (X, y[1:]), "y: .*inconsistent numbers of samples"),
        ({}, (X, np.where(y > 140, np.nan, y)), "y contains NaN"),
        ({}, (np.where(X > 0.1, np.inf, X), y), "X contains infinity"),
        ({}, (np.full(X.shape, "a"), y), "X cannot be used.* Encode categories first"),
        ({"target_type": "continuous"}, (X, np.array(["a", "b"])[WEIGHTS % 2]), "y cannot be used"),
        ({}, (X, np.array([3, "a"], dtype=object)[WEIGHTS % 2]), "Unknown label type: y has val"),
        ({}, (X, y, -WEIGHTS), "sample_weight must be non-negative"),
        ({}, (X, y, 0 * WEIGHTS), "at least one non-zero number"),
        ({"n_bins": 1}, (X, y), "'n_bins' parameter"),
        ({"bins": "uniform"}, (X, y), "'bins' parameter"),
        ({"target_type": "binary"}, (X, y), "'target_type' parameter"),
        ({"min_samples_leaf": 0}, (X, y), "'min_samples_leaf' parameter"),
        ({"min_impurity_fraction": -0.1}, (X, y), "'min_impurity_fraction' parameter"),
        ({"subsample": 0}, (X, y), "'subsample' parameter"),
        ({"dtype": np.int64}, (X, y), "'dtype' parameter"),
    ],
)
def test_invalid_arguments_raise(parameters, arguments, message):
    encoder = Encoder(**parameters)
    with pytest.raises(ValueError, match=message):
        encoder.fit(*arguments)
    assert vars(encoder) == vars(Encoder(**parameters))


def test_failed_fit_leaves_the_encoder_unchanged():
    encoder = Encoder().fit(X, y)
    before = dict(vars(encoder))
    with pytest.raises(ValueError, match="y contains NaN"):
        encoder.fit(X[:, :2], np.full(len(y), np.nan))
    assert vars(encoder) == before


def test_leaves_can_be_larger_than_any_number_of_samples():
    encoder = Encoder(min_samples_leaf=2**70).fit(X, y)
    np.testing.assert_array_equal(encoder.n_bins_, 1)
    assert Encoder(subsample=True).fit(X, y).n_bins_.max() == 1


def test_invalid_input_features_raise():
    with pytest.raises((TypeError, ValueError), match="input_features"):
        Encoder().fit(X, y).get_feature_names_out(3)


def test_unfitted_encoder_raises():
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(Encoder(), method)(*([X] if method == "transform" else []))


COPIES = {
    "pickle": lambda encoder: pickle.loads(pickle.dumps(encoder)),
    "skops": lambda encoder: skops.io.loads(
        skops.io.dumps(encoder), trusted=["torchmlp.preprocessing.PiecewiseLinearEncoder"]
    ),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copy_encodes_the_same(kind):
    encoder = Encoder(min_samples_leaf=10).fit(pd.DataFrame(WITH_MISSING, columns=NAMES), y)
    copied = COPIES[kind](encoder)
    assert copied.get_params() == encoder.get_params()
    frame = pd.DataFrame(WITH_MISSING, columns=NAMES)
    np.testing.assert_array_equal(copied.transform(frame), encoder.transform(frame))
    assert copied.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    untrusted = skops.io.get_untrusted_types(data=skops.io.dumps(encoder))
    assert untrusted == ["torchmlp.preprocessing.PiecewiseLinearEncoder"]


def test_fit_and_transform_leave_their_input_and_the_random_state(numpy_state_kept):
    data, target = WITH_MISSING.copy(), y.copy()
    data.flags.writeable = target.flags.writeable = False
    encoded = Encoder().fit_transform(data, target, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(encoded, Encoder().fit(data, target, WEIGHTS).transform(data))
    fortran = Encoder().fit_transform(np.asfortranarray(data), target, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(encoded, fortran)


def test_network_learns_steps_that_it_does_not_learn_from_scaled_features():
    rng = np.random.RandomState(0)
    x = rng.rand(2000, 1)
    label = (10 * x[:, 0]).astype(int) % 2
    mlp = TorchMLPClassifier(
        (32,), learning_rate="one_cycle", learning_rate_init=0.02, max_iter=40, random_state=0
    )
    score = {
        name: make_pipeline(transformer, mlp)
        .fit(x[:1000], label[:1000])
        .score(x[1000:], label[1000:])
        for name, transformer in (("scaled", StandardScaler()), ("encoded", Encoder()))
    }
    assert score["scaled"] < 0.8
    assert score["encoded"] > 0.9


def test_multilabel_target_in_a_pipeline():
    X, labels = make_multilabel_classification(n_samples=300, random_state=0)
    mlp = TorchMLPClassifier((8,), learning_rate="one_cycle", max_iter=50, random_state=0)
    pipeline = make_pipeline(Encoder(), mlp).fit(X, labels)
    assert pipeline.predict(X).shape == labels.shape
    assert pipeline[0].target_type_ == "multiclass"


def test_encoder_needs_no_scaling_in_front():
    X, species = iris()
    plain = Encoder(min_samples_leaf=10).fit_transform(X, species)
    scaled = make_pipeline(StandardScaler(), Encoder(min_samples_leaf=10))
    np.testing.assert_allclose(scaled.fit_transform(7 * X + 5, species), plain, atol=1e-5)
