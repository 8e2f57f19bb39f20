"""If one of the processes fails, the others end with an error that says which and why."""

import json
import pickle

import numpy as np
import pytest
from cases import _classifier, data
from helpers import needs_gloo
from launch import start, torchrun

from torchmlp.callbacks import Checkpoint

pytestmark = needs_gloo
DIFFERS = "Process {} passes data or parameters that differ from those of process 0: it has {}"
OF_ANOTHER = [
    "Process 1 failed: ValueError: Input X contains NaN",
    "Input X contains NaN",
    "Process 1 failed: ValueError: Input X contains NaN",
    "Process 1 failed: ValueError: Input X contains NaN",
]
# Scenario of `failing.py` -> the beginning of the message, in all processes or in each of them.
EXPECTED = {
    "columns": DIFFERS.format(
        1, "X=float64 array of shape (103, 5) instead of float64 array of shape (103, 6)."
    ),
    "parameters": DIFFERS.format(2, "alpha=0.5 instead of 0.1. All processes must pass the same"),
    "warm_start": DIFFERS.format(2, "warm_start=True instead of False."),
    "max_iter": DIFFERS.format(1, "max_iter=5 instead of 4. All processes"),
    "missing_values": OF_ANOTHER,
    "callback": [
        "Process 1 failed: KeyError: 'on purpose'. The other processes cannot continue without it.",
        "'on purpose'",
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
    "after_a_failure": (
        "An earlier call failed in this data_parallel block, which cannot continue. Enter a new "
        "data_parallel block in all processes."
    ),
    "handled": "None",
    "slow": "Process 1 did not answer within the timeout.",
    "labels": "The labels of the processes have the types ['i', 'U', 'U', 'U']",
    "other_columns": DIFFERS.format(
        1, "X=float64 array of shape (n, 5) instead of float64 array of shape (n, 6). With "
    ),
    "balanced_in_one": DIFFERS.format(1, "class_weight='balanced' instead of None."),
    "multilabel_in_one": DIFFERS.format(1, "y.ndim=2 instead of 1."),
    "own_missing_values": OF_ANOTHER,
    "own_targets": [
        "Process 1 failed: ValueError: y cannot be used: Unknown label type:",
        "y cannot be used: Unknown label type:",
        "Process 1 failed: ValueError: y cannot be used: Unknown label type:",
        "Process 1 failed: ValueError: y cannot be used: Unknown label type:",
    ],
    "scorer": "scoring='neg_log_loss' needs the validation rows of all processes, which data_",
    "own_callback": "callbacks=[<skorch.callbacks.base.Callback object at ",
    "multilabel_balanced": "class_weight='balanced' is not supported for multilabel targets",
}
STATUS = 9  # of `failing.KILLED`
KILLED = "did not answer: killed, out of memory, or slower than the timeout."
NOT_CONNECTED = "The processes could not be connected (timeout=1): "


def _lines(text):
    """Return the message of each scenario in one process."""
    return dict(json.loads(line) for line in text.splitlines() if line.startswith('["'))


def test_failures_are_reported_by_all_processes_before_the_timeout():
    # Process 3 is no neighbor of process 1 in gloo's ring: the other two must pass the failure on.
    outcomes = start(4, "failing.py", "all", 1)
    assert [status for status, *_ in outcomes] == [0, STATUS, 0, 0], outcomes
    for rank, (_, text, _) in enumerate(outcomes):
        reports = _lines(text)
        for scenario, messages in EXPECTED.items():
            expected = messages if isinstance(messages, str) else messages[rank]
            assert reports[scenario].startswith(expected), (scenario, rank, reports[scenario])
        assert "Remove them; only Checkpoint is supported." in reports["own_callback"]
        if rank != 1:
            assert reports["killed"].startswith(f"Process 1 {KILLED}")
            assert reports["next_block"].startswith(NOT_CONNECTED)


def test_death_of_process_0_is_attributed_to_it_alone():
    # The reports of the other processes are lost with it.
    outcomes = start(3, "failing.py", "killed", 0)
    assert [status for status, *_ in outcomes] == [STATUS, 0, 0], outcomes
    for _, text, _ in outcomes[1:]:
        reports = _lines(text)
        assert reports["killed"].startswith(f"Process 0 {KILLED}")
        assert reports["next_block"].startswith(NOT_CONNECTED)


def test_restarts_continue_from_the_checkpoint(tmp_path):
    status, errors = torchrun(2, "restarted.py", tmp_path, options=["--max-restarts", "1"])
    assert status == 0, errors
    results = [pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) for rank in (0, 1)]
    assert [attempt for attempt, *_ in results] == [1, 1]
    assert all(first_epoch > 1 for _, first_epoch, _ in results)
    X, y, _, weights = data()
    # The file has the state of the random number generator.
    again = _classifier(max_iter=10, dropout=0.2, early_stopping=True, random_state=None)
    again.set_params(callbacks=[Checkpoint(tmp_path / "fit.ckpt")])
    with pytest.warns(match="Maximum iterations"):
        again.fit(X, y, weights)
    for *_, model in results:
        assert model.loss_curve_ == again.loss_curve_
        assert model.n_iter_ == 10
        for ours, theirs in zip(model.coefs_, again.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)
