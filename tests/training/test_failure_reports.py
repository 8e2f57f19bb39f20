"""Tests for the reports of failures of several processes."""

import threading

import pytest
import torch

from torchmlp.training import failure_reports
from torchmlp.training.failure_reports import FailureReports, explanation

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch was built without torch.distributed"
)


@pytest.fixture
def reports():
    """Return the reports of each of three processes."""
    store = torch.distributed.HashStore()
    return [FailureReports(store, rank, 3) for rank in range(3)]


class LostStore:
    """A store whose process has ended."""

    def set(self, *arguments):
        raise RuntimeError("connection closed")

    check = get = set


def test_failed_process_waits_until_the_others_have_read_its_report(reports, monkeypatch):
    monkeypatch.setattr(failure_reports, "MAX_WAIT", 1e4)
    first, *others = reports
    first.write_failed(ValueError("negative weights."))
    first.confirm()
    thread = threading.Thread(target=first.wait_for_confirmations, args=(range(3),), daemon=True)
    thread.start()
    for other in others:
        thread.join(0.2)
        assert thread.is_alive()
        found, store_lost = other.wait(for_all=False)
        assert explanation(found, store_lost, 3, 60.0) == (
            "Process 0 failed: ValueError: negative weights. The other processes cannot continue "
            "without it."
        )
        other.confirm()
    thread.join(300)
    assert not thread.is_alive()


def test_wait_for_missing_reports_and_confirmations_is_limited(reports, monkeypatch):
    monkeypatch.setattr(failure_reports, "MAX_WAIT", 0.1)
    reports[0].write_lost(1.0)
    reports[1].write_failed(ValueError("negative weights"))
    assert set(reports[0].wait(for_all=True)[0]) == {0, 1}
    reports[0].wait_for_confirmations([1])


def test_loss_of_the_store_is_attributed_to_process_0_alone():
    reports = FailureReports(LostStore(), 1, 3)
    reports.write_lost(1.0)
    found, store_lost = reports.wait(for_all=False)
    reports.confirm()
    reports.wait_for_confirmations([0])
    assert explanation(found, store_lost, 3, 60.0).startswith("Process 0 did not answer: killed,")


def test_process_is_late_only_if_others_waited_for_the_timeout():
    waits = {0: ("lost", 5.0), 1: ("lost", 0.1), 2: ("lost", 5.1)}
    assert explanation(waits, False, 3, 5.0).startswith("Process 1 did not answer within the time")
    assert explanation(waits, False, 3, 60.0).startswith("The connection between the processes was")


def test_processes_without_a_report_are_named():
    text = explanation({1: ("lost", 5.0)}, False, 3, 60.0)
    assert text.startswith("Processes 0, 2 did not answer: killed, out of memory, or slower than")
