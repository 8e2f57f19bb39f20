"""Description of the machine and of the installed versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = (
    "torch",
    "scikit-learn",
    "skorch",
    "numpy",
    "scipy",
    "torchmlp",
    "pytabkit",
    "xgboost",
    "lightgbm",
)
ROOT = Path(__file__).parents[1]
CPUINFO = Path("/proc/cpuinfo")


def processor():
    """Return the name of the processor, or the architecture if it is unknown."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(device):
    """Return a description of the machine that can be serialized to JSON.

    Call it before the benchmark: "load_before" is the load average of the last minute.
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
    """Return the versions of Python and of the installed packages."""
    installed = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def summary(described, installed):
    """Return the machine and the versions in one line."""
    gpu = f", {described['gpu']}" if "gpu" in described else ""
    return (
        f"{described['processor']}, {described['cpus']} processors{gpu}, {described['system']}; "
        + ", ".join(f"{package} {number}" for package, number in installed.items())
    )
