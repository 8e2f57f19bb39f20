"""Tests for checkpoints with a valid checksum and invalid contents: one error for all of them."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from checkpoints import checkpoint, fit, interrupted_after
from helpers import fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier
from torchmlp.callbacks import checkpoint_file

X, y = iris()
MALFORMED = r"fit\.ckpt' cannot be loaded: its contents are malformed\. Delete it, or set resume=F"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


def _model(path, **parameters):
    defaults = {"early_stopping": True, "dropout": 0.1, "max_iter": 7, "random_state": 0}
    return TorchMLPClassifier((5,), callbacks=[checkpoint(path)], **{**defaults, **parameters})


def _signed(entries, compression=zipfile.ZIP_STORED):
    """Return a file with a valid checksum, given the bytes of its entries by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
        archive.comment = b"0" * 64
    content = buffer.getvalue()[:-64]
    return content + checkpoint_file._digest(content)


def _document(text):
    return f'{{"format": 1, "value": {text}}}'


def _array(header, data=b""):
    """Return the file of an array with a header that may not match the data."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def _header(shape, dtype="<f8"):
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"


def _pickled():
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    return file.getvalue()


def _with_array(data):
    return {"state.json": _document('{"array": 0}'), "0.npy": data}


CORRECT = _array(_header("(2,)"), bytes(16))
NESTED = "[" * 100_000 + "]" * 100_000


def test_files_of_these_tests_are_otherwise_valid():
    assert checkpoint_file.loads(_signed(_with_array(CORRECT))).tolist() == [0, 0]


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"other": b""},
        {"state.json": b"not JSON"},
        {"state.json": b"\xff"},
        {"state.json": "3"},
        {"state.json": "{}"},
        {"state.json": '{"format": 1}'},
        {"state.json": '{"format": "text"}'},
        {"state.json": _document("3")},
        {"state.json": _document(NESTED)},
        {"state.json": _document('{"dict": 3}')},
        {"state.json": _document('{"dict": [[[], 1]]}')},
        {"state.json": _document('{"other": 3}')},
        {"state.json": _document('{"tuple": [], "dict": []}')},
        {"state.json": _document('{"array": 0}')},
        {"state.json": _document('{"array": "0"}'), "0.npy": CORRECT},
        {"state.json": _document("1"), "1.npy": CORRECT},
        _with_array(b""),
        _with_array(CORRECT[:-1]),
        _with_array(CORRECT + b"\0"),
        _with_array(CORRECT.replace(b"\x01\x00", b"\x02\x00", 1)),
        _with_array(_array("[" * 5000)),
        _with_array(_array(_header("(10**14,)"))),
        _with_array(_array(_header("(100000000000000,)"))),
        _with_array(_array(_header("(-1, -2)"), bytes(16))),
        _with_array(_array(_header("(1000000000000,)", "<U0"))),
        _with_array(_array(_header("(2,)", "|O"), bytes(16))),
        _with_array(_pickled()),
    ],
)
def test_malformed_archives_are_refused(entries, path):
    path.write_bytes(_signed(entries))
    with pytest.raises(ValueError, match=MALFORMED) as error:
        _model(path).fit(X, y)
    assert "pickle" not in str(error.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_compressed_entries_are_refused_without_reading_them(compression, path, monkeypatch):
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *args: pytest.fail("read"))
    path.write_bytes(_signed({"state.json": _document("[]"), "0.npy": bytes(10**7)}, compression))
    assert path.stat().st_size < 10**6
    with pytest.raises(ValueError, match=MALFORMED):
        _model(path).fit(X, y)


def test_entries_that_are_larger_than_the_file_are_refused(path):
    data = bytearray(_signed(_with_array(CORRECT)))
    directory = data.index(b"PK\x01\x02")
    data[directory + 20 : directory + 28] = (10**9).to_bytes(4, "little") * 2
    content = bytes(data[:-64])
    path.write_bytes(content + checkpoint_file._digest(content))
    with pytest.raises(ValueError, match=MALFORMED):
        _model(path).fit(X, y)


def _set(*keys):
    """Return a function that sets an entry of nested dicts to a value."""

    def change(saved, value):
        for key in keys[:-1]:
            saved = saved[key]
        saved[keys[-1]] = value

    return change


def _all_values(*keys):
    return [(_set(*keys), value) for value in (None, 3, "text", [1], {"a": 1}, np.zeros(2))]


CHANGES = [
    *_all_values("fingerprint"),
    *_all_values("initial_random_state"),
    *_all_values("initial_random_state", "state"),
    *_all_values("state"),
    *_all_values("state", "weights"),
    *_all_values("state", "progress"),
    *_all_values("state", "progress", "history"),
    *_all_values("state", "progress", "lowest")[:-2],
    *_all_values("state", "solver"),
    *_all_values("state", "random_state"),
    *_all_values("state", "order"),
    *_all_values("state", "dropout_generator"),
    *_all_values("state", "pending_warnings"),
    *_all_values("state", "finished"),
    *_all_values("state", "best_weights")[1:],
    (_set("fingerprint", 3), "text"),
    (_set("fingerprint", "alpha"), 3),
    (_set("other"), 3),
    (_set("state", "other"), 3),
    (_set("state", "progress", "other"), 3),
    (_set("state", "progress", "loss_curve"), ["text"]),
    (_set("state", "progress", "loss_curve"), [0.5]),
    (_set("state", "progress", "loss"), "text"),
    (_set("state", "progress", "n_iter"), -1),
    (_set("state", "progress", "n_iter"), 3.5),
    (_set("state", "progress", "n_iter"), 6),
    (_set("state", "progress", "history"), [{}] * 3),
    (_set("state", "progress", "history"), [3] * 3),
    (_set("state", "progress", "validation_scores"), [{}]),
    (_set("state", "progress", "validation_loss_curve"), 3),
    (_set("state", "rate"), "text"),
    (_set("state", "rate"), None),
    (_set("state", "solver", "t"), "text"),
    (_set("state", "solver", "moment_1"), np.zeros(1)),
    (_set("state", "solver", "moment_1"), np.zeros((43, 1))),
    (_set("state", "solver", "moment_1"), np.zeros(43, dtype="complex")),
    (_set("state", "weights"), np.zeros(43, dtype="float32")),
    (_set("state", "best_weights"), np.zeros(44)),
    (_set("state", "random_state", "state", "pos"), 10**6),
    (_set("state", "random_state", "state", "pos"), -1),
    (_set("initial_random_state", "state", "pos"), 10**6),
    (_set("initial_random_state", "bit_generator"), None),
    (_set("state", "order"), np.full(135, 200, dtype="uint8")),
    (_set("state", "order"), np.zeros(135, dtype="uint8")),
    (_set("state", "pending_warnings"), [("text", "Exception")]),
    (_set("state", "pending_warnings"), [(3, "UserWarning")]),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a fit that was interrupted after three epochs."""
    path = tmp_path_factory.mktemp("saved") / "fit.ckpt"
    with interrupted_after(3):
        fit(_model(path), X, y)
    return path.read_bytes()


@pytest.mark.parametrize(("change", "value"), CHANGES)
def test_malformed_states_are_refused(change, value, saved, path):
    content = checkpoint_file.loads(saved)
    change(content, value)
    data = checkpoint_file.dumps(content)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=MALFORMED):
        _model(path).fit(X, y)
    assert path.read_bytes() == data


def test_states_without_an_entry_are_refused(saved, path):
    for name in checkpoint_file.loads(saved)["state"]:
        content = checkpoint_file.loads(saved)
        del content["state"][name]
        path.write_bytes(checkpoint_file.dumps(content))
        with pytest.raises(ValueError, match=MALFORMED):
            _model(path).fit(X, y)


@pytest.mark.parametrize("optimizers", [None, [], [{}], [3], [{"state": {}, "param_groups": []}]])
def test_malformed_states_of_torch_optimizers_are_refused(optimizers, path):
    model = _model(path, solver=torch.optim.NAdam)
    with interrupted_after(3):
        fit(model, X, y)
    content = checkpoint_file.read(path)
    content["state"]["solver"]["optimizers"] = optimizers
    path.write_bytes(checkpoint_file.dumps(content))
    with pytest.raises(ValueError, match=MALFORMED):
        model.fit(X, y)


def test_file_that_cannot_be_read_is_refused(path, monkeypatch):
    path.write_bytes(b"")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(ValueError, match=r"cannot be loaded: .*Permission denied. Delete it"):
        _model(path).fit(X, y)


def test_refused_file_does_not_change_the_estimator(saved, path):
    content = checkpoint_file.loads(saved)
    content["state"]["weights"] = None
    path.write_bytes(checkpoint_file.dumps(content))
    model = _model(path)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match=MALFORMED):
        model.fit(X, y)
    assert pickle.dumps(model) == before
    fit_quietly(clone(model).set_params(callbacks=[checkpoint(path, resume=False)]), X, y)
