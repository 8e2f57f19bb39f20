"""Time of an epoch of one fit on one and on two processes, and the share of the sums in it."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import ROOT
from benchmarks.measure import Ratio, Row, interleaved
from torchmlp import TorchMLPClassifier
from torchmlp.distributed import data_parallel
from torchmlp.training.processes import Processes
from torchmlp.training.stochastic import EpochTrainer

TITLE = "Time of an epoch with one process relative to two processes of one thread each, float32"
MEANS = False
ONE_THREAD, TWO_THREADS, TWO_PROCESSES = (
    "1 process, 1 thread",
    "1 process, 2 threads",
    "2 processes",
)
# Name -> number of processes and number of threads of each.
CALLS = {ONE_THREAD: (1, 1), TWO_THREADS: (1, 2), TWO_PROCESSES: (2, 1)}
RATIOS = {f"{name} / {TWO_PROCESSES}": (name, TWO_PROCESSES) for name in (ONE_THREAD, TWO_THREADS)}
SHARE = "share of the sums"
N_EPOCHS = 2  # measured, after one that allocates the memory
N_FEATURES = 100
HIDDEN = (256, 256)
MAX_ROUNDS = 3


def columns(plan):
    return [*RATIOS, *(f"seconds of {name}" for name in CALLS), SHARE]


def run(n_processes, n_threads, folder, batch_size):
    """Return the seconds per epoch and the share of the sums over the processes, in process 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = json.dumps([n_threads, str(folder), batch_size])
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(n_processes)}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", arguments],
            cwd=ROOT,
            env=os.environ | address | {"RANK": str(rank), "OMP_NUM_THREADS": str(n_threads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n_processes)
    ]
    outputs = [child.communicate() for child in children]
    if any(child.returncode for child in children):
        raise RuntimeError(
            "A process of the benchmark failed:\n" + "\n".join(e for _, e in outputs)
        )
    return json.loads(outputs[0][0].splitlines()[-1])


def row(n_rows, batch_size, rounds):
    """Return the ratios for a batch size, and the median seconds per epoch."""
    shares = []

    def seconds(call):
        n_processes, n_threads = call
        taken, share = run(n_processes, n_threads, folder, batch_size)
        if n_processes > 1:
            shares.append(share)
        return taken

    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        X = random.standard_normal((n_rows, N_FEATURES), dtype=np.float32)
        np.save(Path(folder) / "X.npy", X)
        np.save(Path(folder) / "y.npy", X[:, 0] + X[:, 1] > 0)
        del X
        times = interleaved(CALLS, rounds, seconds, n_warm=0)
    figures = {f"seconds of {name}": float(np.median(taken)) for name, taken in times.items()}
    figures[SHARE] = float(np.median(shares))
    ratios = {name: Ratio.of(*(times[key] for key in keys)) for name, keys in RATIOS.items()}
    name = f"{n_rows:,} x {N_FEATURES}, {HIDDEN}, batch {batch_size}"
    return Row(name, ratios, figures=figures, rounds=rounds)


def rows(plan):
    n_rows, rounds = (20_000, 1) if plan.quick else (1_000_000, min(plan.rounds, MAX_ROUNDS))
    for batch_size in (200, 2000):
        yield row(n_rows, batch_size, rounds)


def _timed(function, seconds):
    """Return a function that appends its duration to a list."""

    def timed(*arguments):
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds.append(time.perf_counter() - start)

    return timed


def main(n_threads, folder, batch_size):
    """Fit in one of the processes, and print the seconds per epoch and the share of the sums."""
    torch.set_num_threads(n_threads)
    epochs, sums, sums_of_epochs = [], [], []

    def run_epoch(trainer):
        n_before = len(sums)
        result = original(trainer)
        sums_of_epochs.append(sum(sums[n_before:]))  # without those between two epochs
        return result

    original = EpochTrainer.run_epoch
    EpochTrainer.run_epoch = _timed(run_epoch, epochs)
    Processes.sum_ = _timed(Processes.sum_, sums)
    X = np.load(Path(folder) / "X.npy", mmap_mode="r")
    clf = TorchMLPClassifier(
        HIDDEN,
        batch_size=batch_size,
        learning_rate="cosine",
        max_iter=1 + N_EPOCHS,
        random_state=0,
    )
    with data_parallel():
        clf.fit(X, np.load(Path(folder) / "y.npy"))
    total = sum(epochs[1:])
    print(json.dumps([total / N_EPOCHS, sum(sums_of_epochs[1:]) / total]))


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
