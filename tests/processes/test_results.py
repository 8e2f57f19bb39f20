"""Fits on several processes give the same model as one process, and the same bits everywhere."""

import functools
import pickle

import cases
import numpy as np
import pytest
import torch
from helpers import needs_gloo
from launch import torchrun

# Number of processes -> jobs of `worker.py`.
JOBS = {2: ["all"], 3: ["some", "own"], 4: ["some"]}

pytestmark = needs_gloo


@pytest.fixture(scope="module")
def models(request, tmp_path_factory):
    """Return the models of each process: a dict of the job and the rank to a dict of models."""
    folder = tmp_path_factory.mktemp("models")
    status, errors = torchrun(request.param, "worker.py", folder, *JOBS[request.param])
    assert status == 0, errors
    keys = [(job, rank) for job in JOBS[request.param] for rank in range(request.param)]
    return {
        (job, rank): pickle.loads((folder / f"{job}.{rank}.pickle").read_bytes())
        for job, rank in keys
    }


expected = functools.cache(cases.run)


def _assert_equal(model, other, rtol=1e-9):
    assert model.n_iter_ == other.n_iter_
    assert model.t_ == other.t_
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=rtol)
    for name in ("validation_scores_", "validation_loss_curve_"):
        ours, theirs = getattr(model, name, None), getattr(other, name, None)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, rtol=rtol)
    for ours, theirs in zip(_arrays(model), _arrays(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


def _arrays(model):
    return [*model.coefs_, *model.intercepts_]


def _assert_same_bits(model, other):
    for ours, theirs in zip(_arrays(model), _arrays(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.loss_curve_ == other.loss_curve_
    assert getattr(model, "validation_scores_", None) == getattr(other, "validation_scores_", None)
    ours, theirs = model._saved_state, other._saved_state
    if ours is not None:
        np.testing.assert_equal(ours.solver, theirs.solver)
        np.testing.assert_equal(ours.dropout_generator, theirs.dropout_generator)


with_shared_rows = pytest.mark.parametrize("models", JOBS, indirect=True, ids="{} processes".format)
with_own_rows = pytest.mark.parametrize(
    "models",
    [number for number, jobs in JOBS.items() if "own" in jobs],
    indirect=True,
    ids="{} processes".format,
)


@with_shared_rows
def test_shared_rows_give_the_model_of_one_process(models):
    for (job, rank), of_rank in models.items():
        if job == "own":
            continue
        for name, model in of_rank.items():
            single = name == "float32"
            _assert_equal(model, expected(name), rtol=1e-4 if single else 1e-9)
            _assert_same_bits(model, models[job, 0][name])
            assert rank == 0 or not any(
                isinstance(value, torch.Tensor) for value in vars(model).values()
            )


def _own(models):
    """Return the models of the fits with own rows, one dict for each process."""
    return [of_rank for (job, _), of_rank in models.items() if job == "own"]


@with_own_rows
def test_own_rows_give_the_model_of_all_rows(models):
    for of_rank in _own(models):
        for name in cases.OWN_CASES:
            _assert_equal(of_rank[name], cases.run_own(name))
        assert of_rank["unequal"].t_ == 100 * cases.EPOCHS  # all rows, once per epoch
        assert len(of_rank["split"].validation_scores_) == of_rank["split"].n_iter_


@with_own_rows
def test_own_rows_give_the_same_bits_in_all_processes(models):
    first, *others = _own(models)
    for other in others:
        for name, model in other.items():
            _assert_same_bits(model, first[name])


@with_own_rows
def test_own_rows_have_the_classes_of_all_processes(models):
    for of_rank in _own(models):
        assert list(of_rank["lbfgs"].classes_) == ["a", "b", "c", "d"]
        for name, labels in cases.LABELS.items():
            classes = of_rank[f"labels {name}"].classes_
            assert classes.dtype == labels.dtype
            np.testing.assert_array_equal(classes, labels)


@with_own_rows
@pytest.mark.parametrize("early_stopping", [False, True])
def test_own_rows_continue_from_a_checkpoint(models, early_stopping):
    name = f"continued, early_stopping={early_stopping}"
    for of_rank in _own(models):
        assert of_rank[name].n_trained == [2, 2]
        assert of_rank[f"not {name}"].n_trained == [4]
        _assert_same_bits(of_rank[name], of_rank[f"not {name}"])
