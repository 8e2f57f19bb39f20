"""Peak memory of a call, in a new process.

The result is the peak resident memory of the process during the call minus the resident memory
before it. It includes memory allocated outside of Python. The peak is VmHWM in /proc/self/status.
Writing 5 to /proc/self/clear_refs resets it to the current resident memory. This is available on
Linux only.
"""

import ctypes
import gc
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import ROOT
from benchmarks.process import status


def available():
    """Return whether peak memory can be measured on this system."""
    return sys.platform == "linux" and Path("/proc/self/clear_refs").exists()


def peak_bytes(target, *arguments):
    """Return the peak memory of a call in bytes, in addition to the memory in use before it.

    Parameters
    ----------
    target : str
        "module:function" of a function that creates the data, warms up, and returns the call.
    *arguments : numbers and strings
        Arguments of the function.
    """
    command = [sys.executable, "-m", "benchmarks.probe", target, json.dumps(arguments)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if child.returncode:
        raise RuntimeError(f"Measuring the memory of {target} failed:\n{child.stderr}")
    return int(child.stdout.splitlines()[-1])


def ones(n_bytes):
    """Return a call that allocates n_bytes, to test the measurement."""
    return lambda: np.ones(n_bytes, dtype=np.uint8).sum()


def _release_free_memory():
    """Return freed memory to the system, since glibc keeps it for later allocations."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _measure(call):
    _release_free_memory()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = status("VmRSS")
    call()
    return max(0, status("VmHWM") - before)


def _main(target, arguments):
    module, _, function = target.partition(":")
    call = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    print(_measure(call))


if __name__ == "__main__":
    _main(*sys.argv[1:])
