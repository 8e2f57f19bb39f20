"""Tests for the files of torchmlp.callbacks.Checkpoint: links, older and temporary files."""

import os
import time

import pytest
from checkpoints import checkpoint, fit, fitted_values, interrupted_after, no_training
from helpers import fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier
from torchmlp.callbacks import checkpoint_file

X, y = iris()
HEX = "0123456789abcdef" * 2


def _model(path, max_iter=5, **parameters):
    callbacks = [checkpoint(path, **parameters)]
    return TorchMLPClassifier((5,), max_iter=max_iter, random_state=0, callbacks=callbacks)


def _names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_old_temporary_files_are_removed(tmp_path):
    own = f".m.{HEX}.tmp"
    others = [f".m.ck.{HEX}.tmp", ".m.notes.tmp", f".mm.{HEX}.tmp", f"m.{HEX}.tmp", f".m.{HEX}"]
    for name in [own, *others]:
        (tmp_path / name).write_bytes(b"part")
        os.utime(tmp_path / name, (0, 0))
    fit_quietly(_model(tmp_path / "m"), X, y)
    assert _names(tmp_path) == sorted([*others, "m"])


def test_temporary_file_that_is_being_written_remains(tmp_path):
    file = tmp_path / f".m.{HEX}.tmp"
    file.write_bytes(b"part")
    half_an_hour_ago = time.time() - 1800
    os.utime(file, (half_an_hour_ago, half_an_hour_ago))
    fit_quietly(_model(tmp_path / "m"), X, y)
    assert file.exists()


def test_symbolic_link_remains_and_its_target_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder" / "fit.ckpt"
    link.symlink_to(target)
    fit_quietly(_model(link, keep=2), X, y)
    assert link.is_symlink()
    assert _names(target.parent) == ["fit.ckpt", "fit.ckpt.1"]
    with no_training():
        fit_quietly(_model(link), X, y)


def test_cycle_of_links_is_refused(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(ValueError, match=r"cannot be used with keep=1: .* symbolic links"):
        _model(link).fit(X, y)


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit_quietly(_model("~/fit.ckpt"), X, y)
    assert _names(tmp_path) == ["fit.ckpt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"it is a folder, a pipe or a device. Use another path"):
        _model(tmp_path / "pipe").fit(X, y)


def test_names_of_older_files_must_not_be_too_long(tmp_path):
    length = 255 - len(f"..{HEX}.tmp")  # of the longest name for which the temporary file fits
    fit_quietly(_model(tmp_path / ("x" * length)), X, y)
    with pytest.raises(ValueError, match=r"cannot be used with keep=1: .*too long"):
        _model(tmp_path / ("x" * (length + 1))).fit(X, y)


def test_file_in_the_place_of_an_older_file_is_not_changed(tmp_path):
    path, other = tmp_path / "m", tmp_path / "m.1"
    other.write_text("my notes")
    with pytest.raises(ValueError, match=r"keep=3: .*m\.1' exists and is not a checkpoint. Use an"):
        _model(path, keep=3).fit(X, y)
    fit_quietly(_model(path, keep=1), X, y)
    assert other.read_text() == "my notes"


def test_file_that_appears_in_the_place_of_an_older_file_is_not_changed(tmp_path, monkeypatch):
    path, other = tmp_path / "m", tmp_path / "m.1"
    model = _model(path, keep=3)
    write = checkpoint_file.write

    def write_notes_first(*args):
        other.write_text("my notes")
        write(*args)

    monkeypatch.setattr(checkpoint_file, "write", write_notes_first)
    _, issued = fit(model, X, y)
    assert "4 of 5 attempts" in issued[-1][0]
    assert "m.1' exists and is not a checkpoint. The file contains epoch 1." in issued[-1][0]
    assert other.read_text() == "my notes"


def test_older_file_remains_after_a_damaged_file_is_deleted(tmp_path):
    path, older = tmp_path / "m", tmp_path / "m.1"
    expected = fit_quietly(_model(path).set_params(callbacks=None), X, y)
    model = _model(path, keep=2)
    with interrupted_after(3):
        fit(clone(model), X, y)
    content = older.read_bytes()
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"Rename the older file '.*m\.1' to it, or set"):
        model.fit(X, y)
    path.unlink()
    with interrupted_after(1):  # after the first write
        fit(clone(model), X, y)
    assert older.read_bytes() == content
    older.rename(path)
    assert fitted_values(fit_quietly(model, X, y)) == fitted_values(expected)


def test_older_files_move_up_to_a_gap(tmp_path):
    path = tmp_path / "m"
    for name in ("m", "m.1", "m.3"):
        (tmp_path / name).write_bytes(checkpoint_file.dumps({"name": name}))
    checkpoint_file.rotate(path, keep=100_000)
    contents = {name: checkpoint_file.read(tmp_path / name)["name"] for name in _names(tmp_path)}
    assert contents == {"m": "m", "m.1": "m", "m.2": "m.1", "m.3": "m.3"}


def test_keep_may_be_very_large(tmp_path):
    fit_quietly(_model(tmp_path / "m", keep=10**15), X, y)
    assert _names(tmp_path) == ["m", "m.1", "m.2", "m.3", "m.4"]
