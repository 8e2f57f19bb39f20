"""What the figures depend on: the machine and the versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = "torch", "scikit-learn", "skorch", "numpy", "scipy", "torchmlp", "pytabkit"
ROOT = Path(__file__).parents[1]
CPUINFO = Path("/proc/cpuinfo")


def processor():
    """Return the processor's name, as far as the system tells it."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(device):
    """Return what computes, as a dict that JSON can hold.

    To be asked before anything is measured: "load_before" is that of the last minute.
    """
    described = {
        "processor": processor(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.system(),
        "device": device,
    }
    if hasattr(os, "getloadavg"):  # not on Windows
        described["load_before"] = round(os.getloadavg()[0], 2)
    if torch.device(device).type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def versions():
    """Return the versions of Python and of the packages that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def line(described, found):
    """Return both in one line."""
    gpu = f", {described['gpu']}" if "gpu" in described else ""
    return (
        f"{described['processor']}, {described['cpus']} processors{gpu}, {described['system']}; "
        + ", ".join(f"{package} {number}" for package, number in found.items())
    )
