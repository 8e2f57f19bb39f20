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
import os
import shutil
import uuid
import zipfile
from pathlib import Path

import numpy as np

FORMAT = 1
_DOCUMENT = "state.json"
_N_DIGITS = 64  # of a SHA-256
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP}  # a file system without fsync of folders


def dumps(value):
    """Return the bytes of a file.

    Parameters
    ----------
    value : object
        Nested dicts, lists and tuples of arrays, numbers, strings, bools and None.

    Raises
    ------
    TypeError
        If there is a value of another type.
    """
    arrays: list[np.ndarray] = []
    document = json.dumps({"format": FORMAT, "value": _encoded(value, arrays)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_DOCUMENT), document)
        for i, array in enumerate(arrays):
            with archive.open(zipfile.ZipInfo(f"{i}.npy"), "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        archive.comment = b"0" * _N_DIGITS
    content = memoryview(buffer.getbuffer())[:-_N_DIGITS]
    return b"".join([content, _digest(content)])


def loads(data):
    """Return the value for which `dumps` returned the bytes.

    Raises
    ------
    ValueError
        If the bytes are not those of a file, or are damaged.
    """
    content = memoryview(data)[:-_N_DIGITS]
    if data[-_N_DIGITS:] != _digest(content):
        raise ValueError("it is damaged, or it is not a checkpoint")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        document = json.loads(archive[_DOCUMENT])
        if document["format"] != FORMAT:
            raise ValueError(
                f"it has format {document['format']}, but this version of torchmlp reads format "
                f"{FORMAT}"
            )
        return _decoded(document["value"], archive)


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


def _decoded(value, archive):
    if isinstance(value, list):
        return [_decoded(item, archive) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return archive[str(content)]
    items = _decoded(content, archive)
    return dict(items) if kind == "dict" else tuple(items)


def read(path):
    """Return the value in a file, or None if the file does not exist.

    Raises
    ------
    ValueError
        If the file is damaged, is not a checkpoint, or cannot be read.
    """
    try:
        return loads(Path(path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The checkpoint {str(path)!r} cannot be loaded: {error}. Delete it, replace it by an "
            "older one, or set resume=False."
        ) from error


def write(path, data):
    """Replace a file. After a failure at any time, the file is either the old or the new one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
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
    """Remove files that `write` left when its process was killed."""
    prefix = f".{path.name}."
    with contextlib.suppress(OSError):
        for file in path.parent.iterdir():
            if file.name.startswith(prefix) and file.name.endswith(".tmp"):
                file.unlink()


def older(path, i):
    """Return the path of the file that was written i files before the newest one."""
    return path.with_name(f"{path.name}.{i}") if i else path


def rotate(path, keep):
    """Rename the older files, so that `write` keeps the newest file as the first of them."""
    for i in reversed(_numbers_of_older(path, keep - 1)):
        os.replace(older(path, i), older(path, i + 1))
    if keep > 1 and path.exists():
        previous = older(path, 1)
        previous.unlink(missing_ok=True)
        try:  # the newest file keeps its name until it is replaced
            os.link(path, previous)
        except OSError:  # a file system without links
            shutil.copyfile(path, previous)


def remove_older(path, keep):
    """Remove the older files of another fit."""
    for i in _numbers_of_older(path, keep):
        older(path, i).unlink(missing_ok=True)


def _numbers_of_older(path, end):
    """Return the numbers from 1 to end - 1 of the older files that exist, in increasing order."""
    prefix = f"{path.name}."
    names = (file.name for file in path.parent.iterdir() if file.name.startswith(prefix))
    endings = (name.removeprefix(prefix) for name in names)
    numbers = (int(ending) for ending in endings if ending.isascii() and ending.isdecimal())
    return sorted(i for i in numbers if 1 <= i < end and older(path, i).exists())
