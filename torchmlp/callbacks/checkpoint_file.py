"""Files of arrays and plain values, with a checksum, that are written as a whole or not at all.

A file is an uncompressed ZIP archive: ``state.json`` and one ``.npy`` file per array, as in
``numpy.savez``. The comment of the archive, which is at its end, is the SHA-256 of everything
before it. There is no pickle in the file, and loading it runs no code.
"""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import time
import uuid
import zipfile

import numpy as np

FORMAT = 1
_DOCUMENT = "state.json"
_N_DIGITS = 64  # of a SHA-256
_MAX_AGE = 3600.0  # in seconds; an older temporary file is not in use
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP}  # a file system without fsync of folders


class InvalidFile(ValueError):
    """The reason why a file cannot be loaded, for the user."""


def dumps(value):
    """Return the bytes of a file.

    Parameters
    ----------
    value : object
        Nested dicts, lists and tuples of arrays, numbers, strings, bools and None.

    Raises
    ------
    TypeError, ValueError, RecursionError
        If there is a value of another type, or a list that contains itself.
    """
    arrays: list[np.ndarray] = []
    document = json.dumps({"format": FORMAT, "value": _encoded(value, arrays)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_DOCUMENT), document)
        for i, array in enumerate(arrays):
            with archive.open(zipfile.ZipInfo(f"{i}.npy"), "w") as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
        archive.comment = b"0" * _N_DIGITS
    content = memoryview(buffer.getbuffer())[:-_N_DIGITS]
    return b"".join([content, _digest(content)])


def loads(data):
    """Return the value for which `dumps` returned the bytes.

    Raises
    ------
    InvalidFile
        If the bytes are damaged, or have another format.
    Exception
        If they have a valid checksum, but `dumps` did not return them.
    """
    content = memoryview(data)[:-_N_DIGITS]
    if data[-_N_DIGITS:] != _digest(content):
        raise InvalidFile("it is damaged, or it is not a checkpoint")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        # Otherwise a small file could fill the memory.
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("an entry is compressed, or larger than the file")
        document = json.loads(archive.read(_DOCUMENT))
        if document["format"] != FORMAT:
            raise InvalidFile(
                f"it has format {int(document['format'])}, but this version of torchmlp reads "
                f"format {FORMAT}"
            )
        arrays = [_read_array(archive.read(f"{i}.npy")) for i in range(len(entries) - 1)]
        return _decoded(document["value"], arrays)


def _read_array(data):
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not a file of version 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    n_bytes = len(data) - file.tell()
    if dtype.hasobject or not dtype.itemsize or math.prod(shape) * dtype.itemsize != n_bytes:
        raise ValueError("the data do not match the header")
    array = np.ndarray(shape, dtype, data, file.tell(), order="F" if fortran_order else "C")
    return array.copy("K")


def _digest(content):
    return hashlib.sha256(content).hexdigest().encode()


def _encoded(value, arrays):
    """Return a value that JSON can represent. Arrays are appended to a list."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):  # JSON has strings as keys only
        return {"dict": [[_encoded(k, arrays), _encoded(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item, arrays) for item in value]}
    if isinstance(value, list):
        return [_encoded(item, arrays) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def _decoded(value, arrays):
    if isinstance(value, list):
        return [_decoded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    return {"dict": dict, "tuple": tuple}[kind](_decoded(content, arrays))


def read(path):
    """Return the value in a file, or None if the file does not exist.

    Raises
    ------
    ValueError
        If the file is damaged, is not a checkpoint, or cannot be read.
    """
    with loading(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        return loads(data)


@contextlib.contextmanager
def loading(path):
    """Raise a ValueError with the file and the remedy if the `with` block fails.

    A file with a valid checksum and other contents may cause any exception.
    """
    try:
        yield
    except Exception as error:
        named = isinstance(error, (InvalidFile, OSError, MemoryError))
        reason = str(error) or type(error).__name__ if named else "its contents are malformed"
        backup = older(path, 1)
        remedy = f"Rename the older file {str(backup)!r} to it" if backup.exists() else "Delete it"
        raise ValueError(
            f"The checkpoint {str(path)!r} cannot be loaded: {reason}. {remedy}, or set "
            "resume=False to begin anew."
        ) from error


def _temporary(path):
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def write(path, data):
    """Replace a file. After a failure at any time, the file is either the old or the new one."""
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Write the new name of a file to the disk, on systems that can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def remove_temporary_files(path):
    """Remove files that `write` left when its process was killed.

    Those that were written in the last hour remain, because another process may still write them.
    """
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{32}\.tmp")
    with contextlib.suppress(OSError):
        for file in path.parent.iterdir():
            if pattern.fullmatch(file.name) and time.time() - file.stat().st_mtime > _MAX_AGE:
                file.unlink()


def check_path(path, keep):
    """Check that the file, the older files and the temporary file can be written.

    Raises
    ------
    OSError
        If the path is a folder or not a regular file, if a name is too long, or if an older file
        is not a checkpoint.
    """
    for file in (path, older(path, keep - 1), _temporary(path)):
        with contextlib.suppress(FileNotFoundError):
            file.stat()
    if path.exists() and not path.is_file():
        raise OSError("it is a folder, a pipe or a device")
    _n_older(path, keep)


def older(path, i):
    """Return the path of the file that was written i files before the newest one."""
    return path.with_name(f"{path.name}.{i}") if i else path


def _n_older(path, keep):
    """Count the older files path.1, path.2 and so on up to the first gap, at most ``keep - 1``.

    Raises
    ------
    FileExistsError
        If one of them is not a checkpoint.
    """
    n = 0
    while n < keep - 1 and older(path, n + 1).exists():
        n += 1
        if not _is_checkpoint(older(path, n)):
            raise FileExistsError(f"{str(older(path, n))!r} exists and is not a checkpoint")
    return n


def _is_checkpoint(path):
    """Return whether a file begins like those of `dumps`."""
    try:
        with open(path, "rb") as file:
            start = file.read(30 + len(_DOCUMENT))  # the header and the name of the first entry
    except OSError:
        return False
    return start[:4] == b"PK\x03\x04" and start[30:] == _DOCUMENT.encode()


def rotate(path, keep):
    """Rename the older files, so that `write` keeps the newest file as the first of them."""
    if keep == 1 or not _is_checkpoint(path):
        return
    for i in range(min(_n_older(path, keep), keep - 2), 0, -1):
        os.replace(older(path, i), older(path, i + 1))
    previous = older(path, 1)
    previous.unlink(missing_ok=True)
    try:  # the newest file keeps its name until it is replaced
        os.link(path, previous)
    except OSError:  # a file system without links
        shutil.copyfile(path, previous)
