"""Tests for torchmlp.callbacks.checkpoint_file: what is read after every possible failure."""

import errno
import json
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest
from checkpoints import checkpoint, fit, fitted_values, interrupted_after
from helpers import fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier
from torchmlp.callbacks import Snapshots, checkpoint_file

X, y = iris()
VALUE = {
    "array": np.arange(6.0).reshape(2, 3),
    "empty": np.empty((0, 2), dtype="float32"),
    "scalar": np.array(3, dtype="int8"),
    "numbers": [
        1,
        -0.0,
        1e-300,
        float("inf"),
        2**127,
        True,
        None,
        "text \N{GREEK SMALL LETTER PI}",
    ],
    "nested": [({"a": (1, [2])},), {0: "zero", None: ()}],
    "numpy": [np.float64(0.1), np.int64(3), np.bool_(True)],
}
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
syncs_folders = pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync of folders")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


def _same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(_same, one, other))
    return one == other


def test_values_are_read_as_written():
    data = checkpoint_file.dumps(VALUE)
    assert _same(VALUE, checkpoint_file.loads(data))
    assert checkpoint_file.dumps(VALUE) == data


def test_file_is_a_zip_archive_of_json_and_arrays_without_pickle(path):
    fit_quietly(TorchMLPClassifier(max_iter=2, callbacks=[checkpoint(path)]), X, y)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("state.json"))["format"] == 1
    assert {name.rpartition(".")[2] for name in names} == {"json", "npy"}
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fiu" for name in names if name != "state.json")


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", np.array([object()])])
def test_other_types_are_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"of type|Object arrays"):
        checkpoint_file.dumps({"key": [value]})


@pytest.mark.parametrize(
    "content", [b"", b"x" * 1000, pickle.dumps({"a": 1}), checkpoint_file.dumps(VALUE) + b"\0"]
)
def test_other_files_are_refused(content, path):
    path.write_bytes(content)
    model = TorchMLPClassifier(callbacks=[checkpoint(path)])
    with pytest.raises(ValueError, match=r"fit\.ckpt' cannot be loaded: it is damaged, or it is"):
        model.fit(X, y)
    assert path.read_bytes() == content


def test_truncated_and_changed_files_are_refused(path):
    data = checkpoint_file.dumps({"a": np.arange(4.0), "b": "text"})
    for n_bytes in range(len(data)):
        with pytest.raises(ValueError, match="damaged"):
            checkpoint_file.loads(data[:n_bytes])
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        with pytest.raises(ValueError, match="damaged"):
            checkpoint_file.loads(bytes(changed))


@pytest.mark.parametrize("has_older", [False, True])
def test_error_names_the_remedy(has_older, path):
    path.write_bytes(b"damaged")
    older = path.with_name("fit.ckpt.1")
    if has_older:
        older.write_bytes(checkpoint_file.dumps(VALUE))
    remedy = f"Rename the older file {str(older)!r} to it" if has_older else "Delete it"
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        checkpoint_file.read(path)
    assert str(error.value).endswith(f". {remedy}, or set resume=False to begin anew.")


def test_other_format_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint_file, "FORMAT", 2)
    path.write_bytes(checkpoint_file.dumps(VALUE))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="it has format 2, but this version of torchmlp reads"):
        checkpoint_file.read(path)


class _FailingFile:
    """A file on a disk that has space for a number of bytes."""

    def __init__(self, file, n_bytes):
        self.file, self.n_bytes = file, n_bytes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.file.write(data[: self.n_bytes])
        self.file.flush()
        if len(data) > self.n_bytes:
            raise NO_SPACE


def _disk_of(n_bytes):
    def opened(*args):
        return _FailingFile(open(*args), n_bytes)

    return opened


def test_write_that_fails_after_any_number_of_bytes_keeps_the_file(path, monkeypatch):
    old, new = (checkpoint_file.dumps({"epoch": np.full(3, i)}) for i in (1, 2))
    checkpoint_file.write(path, old)
    for n_bytes in range(len(new)):
        monkeypatch.setattr(checkpoint_file, "open", _disk_of(n_bytes), raising=False)
        with pytest.raises(OSError, match="No space"):
            checkpoint_file.write(path, new)
        assert path.read_bytes() == old
        assert os.listdir(path.parent) == [path.name]
    monkeypatch.setattr(checkpoint_file, "open", _disk_of(len(new)), raising=False)
    checkpoint_file.write(path, new)
    assert path.read_bytes() == new


def _failing(name, error=NO_SPACE):
    def fail(*args, **kwargs):
        raise error

    return lambda patch: patch.setattr(checkpoint_file.os, name, fail)


def _patch_sync_of_folders(patch, error):
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise error
        sync(descriptor)

    patch.setattr(checkpoint_file.os, "fsync", fsync)


def _failing_sync_of_folder(patch):
    _patch_sync_of_folders(patch, OSError(errno.EIO, "No space: Input/output error"))


def _no_more_space(patch):
    patch.setattr(checkpoint_file, "open", _disk_of(500), raising=False)


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(
    "fault",
    [
        _no_more_space,
        _failing("fsync"),
        _failing("replace"),
        pytest.param(_failing_sync_of_folder, marks=syncs_folders),
    ],
    ids=["disk", "fsync", "replace", "folder"],
)
def test_failed_writes_do_not_stop_the_fit(fault, keep, path, monkeypatch):
    model = TorchMLPClassifier((5,), max_iter=6, random_state=0)
    expected, warned = fit(clone(model), X, y)
    model.set_params(callbacks=[checkpoint(path, keep=keep)])
    with interrupted_after(2):
        fit(model, X, y)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        fault(patch)
        continued, issued = fit(clone(model), X, y)
    assert fitted_values(continued) == fitted_values(expected)
    assert issued[:-1] == warned
    message, category = issued[-1]
    assert category is UserWarning
    assert message.startswith(f"Checkpoint: 4 of 4 attempts to write {str(path)!r} failed, the ")
    assert "No space" in message
    assert message.endswith("The file contains epoch 2.")
    if fault is not _failing_sync_of_folder:  # the file itself was replaced
        assert path.read_bytes() == before
    again, issued = fit(clone(model), X, y)
    assert fitted_values(again) == fitted_values(expected)
    assert issued == warned


@syncs_folders
def test_file_system_that_cannot_sync_folders_causes_no_warning(path, monkeypatch):
    _patch_sync_of_folders(monkeypatch, OSError(errno.EINVAL, "Invalid argument"))
    checkpoint_file.write(path, b"content")
    assert path.read_bytes() == b"content"


def test_first_write_that_fails_leaves_no_file(path, monkeypatch):
    _no_more_space(monkeypatch)
    model = TorchMLPClassifier((5,), max_iter=3, random_state=0, callbacks=[checkpoint(path)])
    _, issued = fit(model, X, y)
    assert issued[-1][0].endswith("No space left on device. The file was not written.")
    assert not os.listdir(path.parent)


def test_later_writes_succeed_when_there_is_space_again(path, monkeypatch):
    replace, n_calls = os.replace, []

    def fail_twice(*args):
        n_calls.append(args)
        if len(n_calls) <= 2:
            raise NO_SPACE
        replace(*args)

    monkeypatch.setattr(checkpoint_file.os, "replace", fail_twice)
    model = TorchMLPClassifier((5,), max_iter=5, random_state=0, callbacks=[checkpoint(path)])
    _, issued = fit(model, X, y)
    assert "2 of 5 attempts" in issued[-1][0]
    assert issued[-1][0].endswith("The file contains epoch 5.")


def test_folder_that_disappears_causes_one_warning(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    class Removes(Snapshots):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                (folder / "fit.ckpt").unlink()
                folder.rmdir()

    callbacks = [checkpoint(folder / "fit.ckpt"), Removes()]
    model = TorchMLPClassifier((5,), max_iter=5, random_state=0, callbacks=callbacks)
    fitted, issued = fit(model, X, y)
    assert fitted.n_iter_ == 5
    assert len([text for text, _ in issued if "No such file" in text]) == 1


def test_folder_that_is_read_only_causes_one_warning(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint_file, "open", refuse, raising=False)  # root may write anywhere
    model = TorchMLPClassifier((5,), max_iter=5, callbacks=[checkpoint(tmp_path / "fit.ckpt")])
    _, issued = fit(model, X, y)
    assert len([text for text, _ in issued if "Permission denied" in text]) == 1
