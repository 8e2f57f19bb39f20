"""If one of the processes fails, the others end with an error that says which and why."""

import json
import pickle
import signal

import numpy as np
import pytest
import torch
from cases import _classifier, data
from launch import start, torchrun

from torchmlp.callbacks import Checkpoint

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torch was built without gloo",
)
OTHER = "Process 1 passes other data or parameters than process 0: it has "
# Scenario of `failing.py` -> what the message contains, in all processes or in each of them.
EXPECTED = {
    "columns": f"{OTHER}X=float64 array of shape (103, 5) instead of float64 array of shape (103, ",
    "parameters": "Process 2 passes other data or parameters than process 0: it has alpha=0.5 ins",
    "missing_values": [
        "Process 1 failed: ValueError: Input X contains NaN",
        "Input X contains NaN",
        "Process 1 failed: ValueError: Input X contains NaN",
        "Process 1 failed: ValueError: Input X contains NaN",
    ],
    "callback": [
        "Process 1 failed: KeyError: 'on purpose'. The other processes cannot continue without it.",
        "on purpose",
        "Process 1 failed: KeyError: 'on purpose'",
        "Process 1 failed: KeyError: 'on purpose'",
    ],
    "interrupt": [""] + ["Process 0 failed: KeyboardInterrupt"] * 3,
    "only_one_fits": (
        "The processes do different things: process 0 called TorchMLPClassifier.fit; "
        "processes 1, 2, 3 left the data_parallel block."
    ),
    "outside_of_fit": [
        "Process 2 failed: OSError: no such file.",
        "Process 2 failed: OSError: no such file.",
        "no such file",
        "Process 2 failed: OSError: no such file.",
    ],
    "after_a_failure": "An earlier call failed in this data_parallel block",
    "slow": "Process 1 did not answer within the timeout.",
    "labels": "The labels of the processes have the types ['i', 'U', 'U', 'U']",
    "other_columns": f"{OTHER}X=float64 array of shape (n, 5) instead of float64 array of shape (n",
    "scorer": "scoring='neg_log_loss' needs the validation data of all processes",
    "own_callback": "Remove them; Checkpoint is supported.",
    "multilabel_balanced": "class_weight='balanced' is not supported for multilabel targets",
}
KILLED = "did not answer: killed, out of memory, or slower than the timeout."


def _lines(text):
    """Return the message of each scenario in one process."""
    return dict(json.loads(line) for line in text.splitlines() if line.startswith('["'))


def test_failures_are_reported_by_all_processes_before_the_timeout():
    # Process 3 is no neighbor of process 1 in gloo's ring: the other two must pass the failure on.
    outcomes = start(4, "failing.py", "all", 1)
    assert [code for code, _ in outcomes] == [0, -signal.SIGKILL, 0, 0]
    for rank, (_, text) in enumerate(outcomes):
        reports = _lines(text)
        for scenario, messages in EXPECTED.items():
            expected = messages if isinstance(messages, str) else messages[rank]
            assert expected in reports[scenario], (scenario, rank, reports[scenario])
        if rank != 1:
            assert reports["killed"].startswith(f"Process 1 {KILLED}")


def test_processes_notice_that_process_0_was_killed():
    outcomes = start(2, "failing.py", "killed", 0)
    assert [code for code, _ in outcomes] == [-signal.SIGKILL, 0]
    assert _lines(outcomes[1][1])["killed"].startswith(f"Process 0 {KILLED}")


def test_restarts_continue_from_the_checkpoint(tmp_path):
    done = torchrun(2, "restarted.py", tmp_path, options=["--max-restarts", "1"])
    assert done.returncode == 0, done.stderr
    results = [pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) for rank in (0, 1)]
    assert [attempt for attempt, _ in results] == [1, 1]
    X, y, _, weights = data()
    # The file has the state of the random number generator.
    again = _classifier(max_iter=10, dropout=0.2, early_stopping=True, random_state=None)
    again.set_params(callbacks=[Checkpoint(tmp_path / "fit.ckpt")])
    with pytest.warns(match="Maximum iterations"):
        again.fit(X, y, weights)
    for _, model in results:
        assert model.loss_curve_ == again.loss_curve_
        assert model.n_iter_ == 10
        for ours, theirs in zip(model.coefs_, again.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)
