import numpy as np
import pytest
import torch


@pytest.fixture
def global_random_seed():
    """The fixture of that name which scikit-learn's own tests ask for."""
    return 42


@pytest.fixture(autouse=True)
def _nothing_global_changes():
    """No test, and so no fit with a seed, may leave a trace in what the process shares."""
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
