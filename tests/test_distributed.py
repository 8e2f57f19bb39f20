"""Tests for `data_parallel` in one process. Those with several processes are in `processes`."""

import os
import socket
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import needs_gloo
from sklearn.datasets import load_iris

from torchmlp import TorchMLPClassifier
from torchmlp.distributed import data_parallel
from torchmlp.ensemble import WeightSharingClassifier
from torchmlp.training.processes import activated, active_processes
from torchmlp.training.shares import shares_of_batches, shares_of_parts

X, y = load_iris(return_X_y=True)
LAUNCHER = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def active():
    """Pretend that a block with two processes is active in this thread."""
    owner = os.getpid(), threading.get_ident()
    with activated(SimpleNamespace(owner=owner)):
        yield


def _classifier():
    return TorchMLPClassifier(
        (5,), learning_rate="one_cycle", learning_rate_init=0.05, max_iter=3, random_state=0
    )


@pytest.mark.parametrize("rows", ["shared", "own"])
def test_without_a_launcher_nothing_changes(rows):
    expected = _classifier().fit(X, y)
    with data_parallel(rows=rows) as processes:
        assert (processes.rank, processes.world_size) == (0, 1)
        assert active_processes() is None
        clf = _classifier().fit(X, y)
    for ours, theirs in zip(clf.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "all"}, r"rows='all' must be 'shared' or 'own'\."),
        ({"timeout": 0}, r"timeout=0 must be a positive number of seconds\."),
        ({"timeout": "1"}, r"timeout='1' must be a positive number of seconds\."),
    ],
)
def test_invalid_parameters_raise(options, message):
    with pytest.raises(ValueError, match=message), data_parallel(**options):
        pass


def test_incomplete_variables_of_a_launcher_raise(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.setenv(name, LAUNCHER[name])
    message = r"but not \['MASTER_PORT'\]. Start the script with torchrun"
    with pytest.raises(ValueError, match=message), data_parallel():
        pass


@needs_gloo
@pytest.mark.parametrize("rank", ["0", "1"])
def test_missing_processes_raise(monkeypatch, rank):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in (LAUNCHER | {"RANK": rank, "MASTER_PORT": port}).items():
        monkeypatch.setenv(name, value)
    message = (
        r"The processes could not be connected \(timeout=1\): .+\. All processes must be "
        r"running, .*check MASTER_ADDR and MASTER_PORT, or increase the timeout\."
    )
    with pytest.raises(RuntimeError, match=message), data_parallel(timeout=1):
        pass


@pytest.mark.usefixtures("active")
def test_fit_in_another_thread_raises():
    errors = []

    def fit():
        try:
            _classifier().fit(X, y)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert "fit must be called in the thread that entered the block" in errors[0]


@pytest.mark.usefixtures("active")
def test_ensembles_and_nested_blocks_raise():
    with pytest.raises(ValueError, match="WeightSharingClassifier does not support data_parallel"):
        WeightSharingClassifier(_classifier()).fit(X, y)
    with pytest.raises(RuntimeError, match="cannot be nested"), activated(None):
        pass


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize(("n_rows", "batch_size"), [(103, 32), (5, 2), (7, 1), (3, 200)])
def test_shares_of_a_batch_are_all_of_its_rows(n_rows, batch_size, world_size):
    shares = [shares_of_batches(n_rows, batch_size, rank, world_size) for rank in range(world_size)]
    for i in range(len(shares[0])):
        rows = [np.arange(n_rows)[s.positions(slice(i, i + 1))] for s in shares]
        first = i * batch_size
        expected = np.arange(first, min(first + batch_size, n_rows))
        np.testing.assert_array_equal(np.concatenate(rows), expected)
        assert [s.offsets[i] for s in shares] == np.cumsum([0, *map(len, rows)])[:-1].tolist()
        assert {s.totals[i] for s in shares} == {len(expected)}
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


@pytest.mark.parametrize("batch_size", [1, 2, 16, 1000])
@pytest.mark.parametrize("n_rows", [(93, 2, 5), (1, 1), (40, 20, 10)])
def test_shares_of_parts_use_every_row_once(n_rows, batch_size):
    n_rows = np.array(n_rows)
    shares = [shares_of_parts(n_rows, batch_size, rank) for rank in range(len(n_rows))]
    n_batches = len(shares[0])
    assert n_batches == min(-(-n_rows.sum() // batch_size), n_rows.max())
    sizes = np.array([s.sizes for s in shares])
    np.testing.assert_array_equal(sizes.sum(1), n_rows)
    assert (sizes.max(1) - sizes.min(1) <= 1).all()
    for rank, s in enumerate(shares):
        np.testing.assert_array_equal(s.totals, sizes.sum(0))
        assert (s.totals > 0).all()
        np.testing.assert_array_equal(s.offsets, sizes[:rank].sum(0))
        positions = np.arange(n_rows[rank])[s.positions(slice(0, n_batches))]
        np.testing.assert_array_equal(positions, np.arange(n_rows[rank]))
