"""Tests for torchmlp.training.target_scale."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from torchmlp.training.batches import Dataset
from torchmlp.training.target_scale import TargetScale

RNG = np.random.default_rng(0)
Y = RNG.gamma(2.0, size=(60, 2)) * [1e5, 1e-3]
X = np.zeros((60, 1))
WEIGHT = RNG.integers(0, 3, 60).astype(float)
COEFS = [RNG.normal(size=(1, 3)), RNG.normal(size=(3, 2))]
INTERCEPTS = [RNG.normal(size=3), RNG.normal(size=2)]


def test_scale_is_that_of_standard_scaler():
    scale = TargetScale.of(Dataset(X, Y), "targets")
    np.testing.assert_array_equal(scale.scaled(Dataset(X, Y)).y, StandardScaler().fit_transform(Y))


@pytest.mark.parametrize("raw_outputs", ["targets", "log_targets"])
def test_weights_are_repetitions_and_other_rows_do_not_count(raw_outputs):
    rows = np.arange(5, 55)
    got = TargetScale.of(Dataset(X, Y, WEIGHT, rows), raw_outputs)
    repeated = Y[rows].repeat(WEIGHT[rows].astype(int), axis=0)
    expected = TargetScale.of(Dataset(repeated, repeated), raw_outputs)
    np.testing.assert_allclose(got.center, expected.center, rtol=1e-12)
    np.testing.assert_allclose(got.spread, expected.spread, rtol=1e-12)


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 1e15, 1e300])
@pytest.mark.parametrize("raw_outputs", ["targets", "log_targets"])
def test_scale_does_not_depend_on_the_size_of_the_weights(raw_outputs, factor):
    expected = TargetScale.of(Dataset(X, Y, WEIGHT), raw_outputs)
    got = TargetScale.of(Dataset(X, Y, factor * WEIGHT), raw_outputs)
    np.testing.assert_allclose(got.spread, expected.spread, rtol=1e-12)


@pytest.mark.parametrize("raw_outputs", ["targets", "log_targets"])
def test_targets_without_spread_have_scale_1(raw_outputs):
    zeros = np.zeros((5, 1))
    scale = TargetScale.of(Dataset(zeros, zeros), raw_outputs)
    assert (scale.factor, scale.offset) == (1.0, 0.0)
    many = np.full((100_001, 2), 0.1)
    scale = TargetScale.of(Dataset(many, many), raw_outputs)
    np.testing.assert_allclose(
        scale.spread, 0.1 if raw_outputs == "log_targets" else 1.0, rtol=1e-10
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaled_targets_keep_their_dtype_and_the_original_targets(dtype):
    data = Dataset(X, Y.astype(dtype), WEIGHT, np.arange(9))
    scaled = TargetScale.of(data, "targets").scaled(data)
    assert scaled.y.dtype == dtype
    assert scaled.original_y is data.y is data.original_y
    assert (scaled.X is X, len(scaled)) == (True, 9)
    assert scaled.n_bytes == data.n_bytes + data.y.nbytes


@pytest.mark.parametrize("raw_outputs", ["targets", "log_targets"])
def test_folded_weights_predict_in_the_units_of_y(raw_outputs):
    scale = TargetScale.of(Dataset(X, Y), raw_outputs)
    coefs, intercepts = scale.fold(COEFS, INTERCEPTS)
    assert coefs[0] is COEFS[0]
    assert intercepts[0] is INTERCEPTS[0]
    raw, folded = (c[1] + i[1] for c, i in ((COEFS, INTERCEPTS), (coefs, intercepts)))
    if raw_outputs == "log_targets":
        np.testing.assert_allclose(np.exp(folded), np.exp(raw) * Y.mean(axis=0), rtol=1e-12)
    else:
        expected = raw * Y.std(axis=0) + Y.mean(axis=0)
        np.testing.assert_allclose(folded, expected, rtol=1e-12)


def test_folded_weights_predict_means_and_variances_in_the_units_of_y():
    scale = TargetScale.of(Dataset(X, Y[:, :1]), "means_and_log_variances")
    coefs, intercepts = scale.fold(COEFS, INTERCEPTS)
    raw_mean, raw_log = (COEFS[1] + INTERCEPTS[1]).T
    mean, log = (coefs[1] + intercepts[1]).T
    np.testing.assert_allclose(mean, raw_mean * Y[:, 0].std() + Y[:, 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(np.exp(log), np.exp(raw_log) * Y[:, 0].var(), rtol=1e-12)


@pytest.mark.parametrize("raw_outputs", ["targets", "log_targets"])
def test_unfold_is_the_inverse_of_fold(raw_outputs):
    scale = TargetScale.of(Dataset(X, Y), raw_outputs)
    for got, expected in zip(
        scale.unfold(*scale.fold(COEFS, INTERCEPTS)), (COEFS, INTERCEPTS), strict=True
    ):
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unfold_uses_the_known_last_layer_unless_the_weights_have_changed(dtype):
    scale = TargetScale.of(Dataset(X, Y), "targets")
    last = COEFS[1].astype(dtype), INTERCEPTS[1].astype(dtype)
    coefs, intercepts = scale.fold([COEFS[0], last[0]], [INTERCEPTS[0], last[1]])
    assert coefs[1].dtype == intercepts[1].dtype == dtype
    found = scale.unfold(coefs, intercepts, last)
    assert (found[0][1] is last[0], found[1][1] is last[1]) == (True, True)
    changed = scale.unfold(coefs, [intercepts[0], 2 * intercepts[1]], last)
    np.testing.assert_allclose(changed[0][1], last[0], rtol=1e-6)
    assert (changed[1][1] != last[1]).all()
