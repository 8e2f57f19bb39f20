"""Tests for torchmlp.fitted_attributes."""

import pytest
from helpers import OURS, fit_quietly, iris

from torchmlp import TorchMLPClassifier
from torchmlp.fitted_attributes import UNDEFINED_FOR_LBFGS, fitted_attributes, progress_of

X, y = iris()


def test_attributes_of_a_fit_are_in_the_list():
    mlp = fit_quietly(TorchMLPClassifier(max_iter=2, random_state=0), X, y)
    arrays = mlp.coefs_, mlp.intercepts_
    progress = progress_of(mlp)
    listed = fitted_attributes(*arrays, mlp.out_activation_, "cpu", mlp._encoder, progress)
    assert set(vars(mlp)) - set(mlp.get_params()) - set(listed) == {
        "n_features_in_",
        "classes_",
        "_saved_state",
    }
    for name, value in listed.items():
        assert getattr(mlp, name) is value or getattr(mlp, name) == value


def test_progress_has_copies_of_the_lists():
    mlp = fit_quietly(TorchMLPClassifier(max_iter=2, early_stopping=True, random_state=0), X, y)
    progress = progress_of(mlp)
    progress.loss_curve.append(0.0)
    progress.validation_scores.append(0.0)
    progress.begin_epoch()
    assert len(mlp.loss_curve_) == len(mlp.validation_scores_) == len(mlp.history_) == 2


@pytest.mark.parametrize("estimator", OURS)
def test_attributes_that_are_undefined_for_lbfgs(estimator):
    mlp = fit_quietly(estimator(solver="lbfgs", max_iter=2), X, y)
    assert not any(hasattr(mlp, name) for name in UNDEFINED_FOR_LBFGS)
    fit_quietly(mlp.set_params(early_stopping=True), X, y)
    assert all(hasattr(mlp, name) for name in UNDEFINED_FOR_LBFGS)
