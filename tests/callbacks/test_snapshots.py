"""Tests for torchmlp.callbacks.snapshots."""

import pickle

import numpy as np
import pytest
from helpers import assert_identical, fit_quietly, iris
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping

from torchmlp import TorchMLPClassifier
from torchmlp.callbacks import Snapshots, find_snapshots

X, y = iris()


def mlp(*callbacks, **parameters):
    settings = {"max_iter": 6, "random_state": 0, "batch_size": 40, "learning_rate_init": 0.01}
    return TorchMLPClassifier((7, 5), callbacks=list(callbacks), **{**settings, **parameters})


def fitted(*callbacks, **parameters):
    return fit_quietly(mlp(*callbacks, **parameters), X, y)


def epochs_of(estimator):
    return [snapshot.epoch for snapshot in find_snapshots(estimator)]


def assert_weights(snapshot, estimator):
    pairs = (snapshot.coefs, estimator.coefs_), (snapshot.intercepts, estimator.intercepts_)
    for recorded, weights in pairs:
        assert len(recorded) == len(weights)
        for one, other in zip(recorded, weights, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "parameters", [{}, {"solver": "sgd"}, {"dropout": 0.2}, {"dtype": "float32"}]
)
def test_snapshot_equals_the_fit_of_as_many_epochs(parameters):
    estimator = fitted(Snapshots(), **parameters)
    snapshots = find_snapshots(estimator)
    assert [s.epoch for s in snapshots] == [0, 1, 2, 3, 4, 5, 6]
    assert [s.loss for s in snapshots] == [None, *estimator.loss_curve_]
    for snapshot in snapshots[1:]:
        assert_weights(snapshot, fitted(**parameters, max_iter=snapshot.epoch))
    untrained = fitted(**{**parameters, "max_iter": 1, "learning_rate_init": 1e-300})
    assert_weights(snapshots[0], untrained)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_snapshots_do_not_change_the_fit(early_stopping):
    with_it = fitted(Snapshots(every=2, max_snapshots=2), early_stopping=early_stopping)
    without = fitted(early_stopping=early_stopping)
    assert_identical(with_it, without)
    assert with_it.loss_curve_ == without.loss_curve_


def test_gradients_are_those_of_the_last_step():
    sgd = {"solver": "sgd", "momentum": 0.0, "batch_size": 150}
    first, *others = find_snapshots(fitted(Snapshots(), **sgd))
    assert first.coefs_gradient is first.intercepts_gradient is None
    before = first
    for after in others:
        for kind in ("coefs", "intercepts"):
            steps = zip(
                *(getattr(s, kind) for s in (before, after)),
                getattr(after, f"{kind}_gradient"),
                strict=True,
            )
            for old, new, gradient in steps:
                assert np.abs(gradient).max() > 0
                np.testing.assert_allclose(new, old - 0.01 * gradient, rtol=1e-12)
        before = after


def test_every_selects_epochs_and_the_last_is_kept():
    assert epochs_of(fitted(Snapshots(every=4), max_iter=10)) == [0, 4, 8, 10]
    assert epochs_of(fitted(Snapshots(every=4), max_iter=8)) == [0, 4, 8]
    assert epochs_of(fitted(Snapshots(every=40), max_iter=3)) == [0, 3]


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("max_snapshots", [2, 3, 4, 7])
def test_max_snapshots_thins_evenly(every, max_snapshots):
    lengths = []
    for max_iter in range(1, 26):
        epochs = epochs_of(fitted(Snapshots(every, max_snapshots), max_iter=max_iter))
        assert (epochs[0], epochs[-1]) == (0, max_iter)
        steps = np.diff(epochs)
        assert (steps[:-1] == steps[0]).all()
        assert steps[-1] <= steps[0]
        if len(epochs) > 2:
            ratio = steps[0] / every
            assert ratio in 2 ** np.arange(6)
        lengths.append(len(epochs))
    assert max(lengths) == max_snapshots
    assert min(lengths[10:]) >= max_snapshots // 2


def test_snapshots_own_their_memory():
    estimator = fitted(Snapshots())
    last = find_snapshots(estimator)[-1]
    estimator.coefs_[0][:] = 0
    assert np.abs(last.coefs[0]).min() > 0
    assert all(array.base is None for array in [*last.coefs, *last.coefs_gradient])


def test_clone_and_pickle():
    estimator = fitted(Snapshots(every=2))
    copy = clone(estimator)
    assert not hasattr(copy.callbacks[0], "snapshots_")
    assert copy.callbacks[0].get_params() == {"every": 2, "max_snapshots": 100}
    restored = pickle.loads(pickle.dumps(estimator))
    assert epochs_of(restored) == epochs_of(estimator) == [0, 2, 4, 6]
    assert_weights(find_snapshots(restored)[-1], estimator)


def test_each_fit_starts_new_snapshots():
    estimator = fitted(Snapshots())
    first = find_snapshots(estimator)
    assert epochs_of(fit_quietly(estimator.set_params(max_iter=2), X, y)) == [0, 1, 2]
    assert len(first) == 7  # the list of the first fit is unchanged

    warm = fitted(Snapshots(), warm_start=True, max_iter=3)
    third = find_snapshots(warm)[-1]
    fit_quietly(warm, X, y)
    assert epochs_of(warm) == [3, 4, 5, 6]
    assert_weights(find_snapshots(warm)[-1], warm)
    np.testing.assert_array_equal(find_snapshots(warm)[0].coefs[0], third.coefs[0])


def test_partial_fit_continues_the_snapshots():
    steps = mlp(Snapshots(every=4))
    for _ in range(6):
        steps.partial_fit(X, y, classes=[0, 1, 2])
    expected = find_snapshots(fitted(Snapshots(every=4)))
    assert epochs_of(steps) == [0, 4, 6]
    for one, other in zip(find_snapshots(steps), expected, strict=True):
        np.testing.assert_array_equal(one.coefs[1], other.coefs[1])
        assert one.loss == other.loss
    steps.coefs_ = [coefs * 2 for coefs in steps.coefs_]
    assert epochs_of(steps.partial_fit(X, y)) == [
        6,
        7,
    ]  # the weights are not those of the last snapshot


def test_find_snapshots_in_a_pipeline_and_a_search():
    pipeline = make_pipeline(StandardScaler(), mlp(("named", Snapshots()), max_iter=3))
    assert epochs_of(fit_quietly(pipeline, X, y)) == [0, 1, 2, 3]
    search = GridSearchCV(pipeline, {"torchmlpclassifier__max_iter": [2]}, cv=2)
    assert epochs_of(fit_quietly(search, X, y)) == [0, 1, 2]
    theirs = fit_quietly(MLPClassifier(max_iter=2), X, y)
    for without in (fitted(), theirs, mlp(Snapshots())):
        with pytest.raises(
            ValueError,
            match=r"no snapshots.*callbacks=\[torchmlp.callbacks.Snapshots\(\)\] and fit",
        ):
            find_snapshots(without)


def test_snapshots_of_another_fit_raise():
    shared = Snapshots()
    first = fitted(shared)
    fitted(shared, random_state=1)
    with pytest.raises(
        ValueError, match=r"were recorded in another fit.*Snapshots object for each"
    ):
        find_snapshots(first)
    fitted(shared, max_iter=9)
    with pytest.raises(ValueError, match="were recorded in another fit"):
        find_snapshots(first)


def test_last_epoch_is_kept_when_a_callback_stops_the_fit():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    assert epochs_of(fitted(Snapshots(every=2), Stop())) == [0, 2, 3]
    assert epochs_of(fitted(Stop(), Snapshots(every=2))) == [0, 2]


def test_restored_weights_are_not_a_snapshot():
    stopper = EarlyStopping("train_loss", patience=1, load_best=True, sink=lambda text: None)
    recorder = Snapshots()
    estimator = fitted(recorder, stopper, learning_rate_init=0.8, max_iter=60)
    best = find_snapshots(estimator)[stopper.best_epoch_]
    assert_weights(best, estimator)
    assert find_snapshots(estimator)[-1].epoch == estimator.n_iter_ == stopper.best_epoch_ + 1


def test_invalid_parameters_raise():
    for parameters, match in (
        ({"every": 0}, "every=0 must be an int >= 1"),
        ({"every": 1.5}, "every=1.5 must be an int"),
        ({"max_snapshots": 1}, "max_snapshots=1 must be an int >= 2"),
    ):
        with pytest.raises(ValueError, match=match):
            fitted(Snapshots(**parameters))
    with pytest.raises(ValueError, match="callbacks"):
        fitted(Snapshots(), solver="lbfgs")
