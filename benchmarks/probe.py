"""Peak memory of a call, in a fresh process.

What is measured is the resident memory of the process at its highest while the call runs, less
what was resident just before: pages that the call touched and the process had not, whoever asked
for them. The kernel keeps that mark (VmHWM in /proc/self/status) and puts it back to the present
when 5 is written to /proc/self/clear_refs, which Linux can do and other systems cannot.
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


def available():
    """Whether this system can say what a call's peak was."""
    return sys.platform == "linux" and Path("/proc/self/clear_refs").exists()


def peak_bytes(target, *arguments):
    """Return the bytes that a call needs at its peak beyond what was there before it.

    Parameters
    ----------
    target : str
        "module:function" that returns the call, having made its data and warmed it up.
    *arguments : numbers and strings
        Of the function.
    """
    command = [sys.executable, "-m", "benchmarks.probe", target, json.dumps(arguments)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if child.returncode:
        raise RuntimeError(f"the probe of {target} failed:\n{child.stderr}")
    return int(child.stdout.splitlines()[-1])


def ones(n_bytes):
    """Return a call that needs n_bytes, to try the measurement with."""
    return lambda: np.ones(n_bytes, dtype=np.uint8).sum()


def _status(key):
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise KeyError(key)


def _give_back_freed():
    """Give freed memory back to the system, where glibc keeps it for the next allocation."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _measure(call):
    _give_back_freed()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _main(target, arguments):
    module, _, function = target.partition(":")
    call = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    print(_measure(call))


if __name__ == "__main__":
    _main(*sys.argv[1:])
