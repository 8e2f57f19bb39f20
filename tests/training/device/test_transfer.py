"""Tests for torchmlp.training.device.transfer, with the CPU in place of a device."""

from collections import defaultdict
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import TASKS, assert_identical, assert_same_weights, fit_quietly, some_weights
from sklearn.base import clone
from tape import treat_the_cpu_as_a_device

from torchmlp.training import loaders
from torchmlp.training.batches import Dataset
from torchmlp.training.device import transfer
from torchmlp.training.loaders import loader_for
from torchmlp.training.workspace import Layout

WAYS = ["resident", "streamed"]

FITS = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "one batch": {"batch_size": 250},
    "rows held out": {"early_stopping": True},
    "rows held out, in order": {"early_stopping": True, "shuffle": False},
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("parameters", FITS.values(), ids=FITS)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("way", WAYS)
def test_resident_and_streamed_rows_give_the_same_fit(way, task, parameters, weighted, monkeypatch):
    (_, ours), X, y, _ = TASKS[task]
    weights = some_weights(len(X)) if weighted else None
    mlp = ours(**{"random_state": 0, "max_iter": 4, "batch_size": 32, **parameters})
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 3)
    expected = fit_quietly(clone(mlp), X, y, weights)
    treat_the_cpu_as_a_device(way, monkeypatch)
    monkeypatch.setattr(transfer, "MAX_CHUNK_BYTES", 1 << 14)
    got = fit_quietly(clone(mlp), np.asfortranarray(X), y, weights)
    assert_identical(expected, got)
    assert expected.loss_curve_ == got.loss_curve_
    sparse = fit_quietly(clone(mlp), sp.csr_array(X), y, weights)
    assert_same_weights(expected, sparse, rtol=1e-10)


def _loader(shuffle, weighted=False, batch_size=4, n_rows=30):
    cpu = torch.device("cpu")
    layout = Layout((2, 1), torch.float64, torch.float64, cpu, (), ())
    X = np.arange(2.0 * n_rows).reshape(n_rows, 2)
    weights = np.ones(n_rows) if weighted else None
    return loader_for(Dataset(X, X[:, :1].copy(), weights), batch_size, layout, shuffle)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_rows_come_in_the_order_of_the_epoch(way, shuffle, weighted, monkeypatch):
    treat_the_cpu_as_a_device(way, monkeypatch)
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 2)
    loader = _loader(shuffle, weighted)
    for seed in range(2):
        order = np.random.RandomState(seed).permutation(30)
        loaded = [
            (batch.inputs.rows.clone(), batch.y.clone())
            for block in loader.blocks(order)
            for batch in block.batches
        ]
        rows, y = (torch.cat(parts).numpy() for parts in zip(*loaded, strict=True))
        expected = order if shuffle else np.arange(30)
        np.testing.assert_array_equal(rows[:, 0], 2 * expected)
        np.testing.assert_array_equal(y[:, 0], 2 * expected)


class Recorder(transfer.Copied):
    """Records the calls for each block."""

    entries: ClassVar[list] = []

    def acquire(self):
        self.entries.append(("write", self))
        return super().acquire()

    def send(self):
        self.entries.append(("send", self))
        super().send()

    def release(self):
        self.entries.append(("release", self))


def test_block_is_written_while_another_one_trains(monkeypatch):
    treat_the_cpu_as_a_device("streamed", monkeypatch)
    monkeypatch.setattr(loaders, "staging_for", lambda device: Recorder)
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 2)
    monkeypatch.setattr(Recorder, "entries", [])
    loader = _loader(shuffle=True, n_rows=32)
    for block in loader.blocks(np.arange(32)):
        Recorder.entries.append(("train", block.staging))
    what, whose = zip(*Recorder.entries, strict=True)
    assert what == ("write", "send", "train", "release") * 4
    first, second = whose[0], whose[4]
    assert first is not second
    assert whose == (*[first] * 4, *[second] * 4) * 2


@pytest.mark.parametrize(
    ("way", "weighted", "n_blocks"),
    [("resident", False, 1), ("resident", True, 2), ("streamed", False, 2)],
)
def test_blocks_alternate_only_where_the_host_writes_them(way, weighted, n_blocks, monkeypatch):
    treat_the_cpu_as_a_device(way, monkeypatch)
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 2)
    loader = _loader(True, weighted, n_rows=32)
    assert len({id(block) for block in loader.blocks(np.arange(32))}) == n_blocks


def test_single_block_in_order_is_stored_once(monkeypatch):
    treat_the_cpu_as_a_device("streamed", monkeypatch)
    loader = _loader(shuffle=False)
    (block,) = loader.blocks()
    assert block.buffers.X is loader.resident.X
    assert [*loader.blocks()] == [block]


def test_rows_are_resident_up_to_half_of_the_memory(monkeypatch):
    cpu = torch.device("cpu")
    layout = Layout((10, 5, 2), torch.float32, torch.bfloat16, cpu, (), ())
    # 100 rows of 10 * 2 + 2 * 4 bytes
    data = Dataset(np.zeros((100, 10)), np.zeros((100, 2)))
    for free, fits in ((5600, True), (5599, False)):
        monkeypatch.setattr(transfer, "free_memory", lambda device, free=free: free)
        assert transfer.Resident.fits(data, layout) == fits


def test_streams_are_reused(monkeypatch):
    class Borrower:
        pass

    monkeypatch.setattr(transfer, "_idle", defaultdict(list))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    device, first, second = torch.device("cuda:0"), Borrower(), Borrower()
    streams = [transfer.borrow_stream(device, borrower) for borrower in (first, second)]
    assert streams[0] is not streams[1]
    del first
    assert transfer.borrow_stream(torch.device("cuda:1"), second) not in streams
    assert transfer.borrow_stream(device, second) is streams[0]
    assert transfer.borrow_stream(device, second) not in streams


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_reserved_memory_counts_as_free():
    device = torch.device("cuda")
    before = transfer.free_memory(device)
    kept = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    assert before - transfer.free_memory(device) >= kept.nbytes
    del kept
    assert abs(before - transfer.free_memory(device)) < 1 << 26
