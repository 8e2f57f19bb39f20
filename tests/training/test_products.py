"""Tests for torchmlp.training.products."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.products import DenseInput, SparseInput, as_tensor

X, y = iris()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_products_equal_numpy(kind):
    rng = np.random.RandomState(0)
    rows, coefs, delta, bias = (rng.randn(*shape) for shape in ((9, 4), (4, 3), (9, 3), (3,)))
    inputs = DenseInput(torch.from_numpy(rows))
    if kind == "sparse":
        inputs = SparseInput(sp.csr_array(rows))
    affine, gradient = torch.empty(9, 3).double(), torch.empty(4, 3).double()
    weights = torch.from_numpy(coefs)
    calls = inputs.affine(weights, torch.from_numpy(bias), affine)
    calls += inputs.coefs_gradient(torch.from_numpy(delta), weights, 0.3, 0.5, gradient)
    for call in calls:
        call()
    np.testing.assert_allclose(affine, rows @ coefs + bias)
    np.testing.assert_allclose(gradient, 0.5 * rows.T @ delta + 0.3 * coefs)


def test_tensor_of_a_read_only_array_shares_its_memory():
    array = np.arange(6.0)
    array.flags.writeable = False
    assert as_tensor(array).data_ptr() == array.__array_interface__["data"][0]


def test_memory_layout_of_X_has_no_effect():
    mlp = TorchMLPClassifier(random_state=0, max_iter=4, batch_size=16)
    expected = fit_quietly(clone(mlp), X, y)
    backwards = X[::-1, ::-1].copy()[::-1, ::-1]
    read_only = X.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(X), backwards, read_only, X.tolist(), X.repeat(2, axis=0)[::2]):
        got = fit_quietly(clone(mlp), same, y)
        assert_identical(expected, got)
        np.testing.assert_allclose(got.predict_proba(same), expected.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_array])
def test_sparse_data_stay_sparse(container, solver, monkeypatch):
    for kind in (sp.csr_matrix, sp.csr_array, sp.csc_array, sp.csc_matrix):
        for method in ("toarray", "todense"):
            monkeypatch.setattr(kind, method, lambda *args, **kwargs: pytest.fail("densified"))
    rows = container(X)
    mlp = TorchMLPRegressor(random_state=0, max_iter=3, solver=solver)
    fit_quietly(mlp, rows, y, np.ones(150)).predict(rows)
    if solver != "lbfgs":
        mlp.partial_fit(rows, y)
