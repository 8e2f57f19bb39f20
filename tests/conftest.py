import numpy as np
import pytest
import torch
from helpers import call_at_every_step

# Doctests are collected from all modules, but pytest cannot collect two with the same name.
collect_ignore_glob = ["*conftest.py"]


@pytest.fixture
def global_random_seed():
    """The fixture of this name that scikit-learn's own tests use."""
    return 42


@pytest.fixture(autouse=True)
def _nothing_global_changes():
    """Fail a test that changes torch's number of threads or draws from its global generator."""
    threads = torch.get_num_threads()
    torch_state = torch.get_rng_state()
    yield
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.fixture
def numpy_state_kept():
    """Fail a test that draws from NumPy's global generator."""
    before = np.random.get_state()
    yield
    after = np.random.get_state()
    assert before[0] == after[0]
    assert np.array_equal(before[1], after[1])
    assert before[2:] == after[2:]


@pytest.fixture
def no_training(monkeypatch):
    """Fail a test if a fit gets as far as its first step."""
    call_at_every_step(monkeypatch, lambda: pytest.fail("training began"))
