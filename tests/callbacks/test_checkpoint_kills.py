"""Fits that are killed at random moments, and continue to the same bits.

`make kills` kills 200 fits instead of 20.
"""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import fit, fitted_values
from killed_fit import N_MODELS, X, model_of, y

from torchmlp.callbacks import checkpoint_file

N_KILLS = int(os.environ.get("TORCHMLP_N_KILLS", "20"))
TESTS = Path(__file__).parents[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor SIGKILL")
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
    assert list(map(int, done.stdout.split())) == [-signal.SIGKILL] * N_KILLS
    found = [_check(tmp_path / str(number), number) for number in range(N_KILLS)]
    epochs, were_writing = zip(*found, strict=True)
    assert len(set(epochs)) > 4
    assert any(were_writing)


def _check(folder, number):
    """Assert that the files are whole, and that the fit continues.

    Return the epoch in the file, and whether the process was writing it to a temporary file.
    """
    path = folder / "fit.ckpt"
    saved = checkpoint_file.read(path)
    checkpoint_file.read(checkpoint_file.older(path, 1))
    temporary = list(folder.glob(f".{path.name}.*"))
    for file in temporary:
        os.utime(file, (0, 0))  # a new temporary file might belong to another process
    values, warned = _fit_without_interruption(number % N_MODELS)
    continued, issued = fit(model_of(path, number), X, y)
    assert fitted_values(continued) == values
    assert issued == warned
    assert not list(folder.glob(f".{path.name}.*"))
    return saved and saved["state"]["progress"]["n_iter"], bool(temporary)


@functools.cache
def _fit_without_interruption(number):
    """Return the fitted values and the warnings."""
    model, warned = fit(model_of("fit.ckpt", number).set_params(callbacks=None), X, y)
    return fitted_values(model), warned
