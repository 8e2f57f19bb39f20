"""Fits that are killed at random moments, and continue to the same bits.

`make kills` kills 200 fits instead of 20.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import fit, fitted_values
from helpers import iris
from killed_fit import model_of
from sklearn.base import clone

from torchmlp.callbacks import checkpoint_file

N_KILLS = int(os.environ.get("TORCHMLP_N_KILLS", "20"))
TESTS = Path(__file__).parents[1]
X, y = iris()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are copied with fork")
def test_killed_fits_continue_to_the_same_bits(tmp_path):
    script = Path(__file__).with_name("killed_fit.py")
    folders = [str(TESTS.parent), str(TESTS)]
    done = subprocess.run(
        [sys.executable, script, tmp_path, str(N_KILLS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    statuses = list(map(int, done.stdout.split()))
    assert len(statuses) == N_KILLS
    assert set(statuses) <= {0, -signal.SIGKILL}
    assert statuses.count(-signal.SIGKILL) > N_KILLS / 4  # the others had ended
    epochs = [_check(tmp_path, number) for number in range(N_KILLS)]
    assert len(set(epochs)) > 4


def _check(folder, number):
    """Assert that the files are whole, and that the fit continues. Return the epoch in the file."""
    path = folder / f"{number}.ckpt"
    saved = checkpoint_file.read(path)
    checkpoint_file.read(checkpoint_file.older(path, 1))
    for file in folder.glob(f".{path.name}.*"):
        os.utime(file, (0, 0))  # a new temporary file might belong to another process
    model = model_of(path, number)
    expected, warned = fit(clone(model).set_params(callbacks=None), X, y)
    continued, issued = fit(model, X, y)
    assert fitted_values(continued) == fitted_values(expected)
    assert issued == warned
    assert not list(folder.glob(f".{path.name}.*"))
    return saved and saved["state"]["progress"]["n_iter"]
