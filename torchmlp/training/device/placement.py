"""Choice of the device and the dtypes."""

from collections.abc import Callable

import numpy as np
import torch

# Multiply-adds of the forward pass of a step below which rounding to bfloat16 on a CPU does not
# save time.
MIN_WORK_FOR_BFLOAT16 = 1 << 25

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
_PROBES: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def resolve_device(device):
    """Return the torch.device for ``device``, which may be "auto".

    Parameters
    ----------
    device : str or torch.device
        "auto" is the CPU, even if a GPU is available.

    Raises
    ------
    ValueError
        If the device is unknown or not available.
    """
    resolved = _known_device(device)
    if not is_available(resolved):
        raise ValueError(
            f"device={str(device)!r} is not available with torch {torch.__version__} on this "
            "machine. Use device='cpu', or install a build of torch that supports the device."
        )
    return resolved


def _known_device(device):
    try:
        return torch.device("cpu" if device == "auto" else device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a valid torch device. Use 'auto', 'cpu', 'cuda', 'cuda:1' "
            "or 'mps'."
        ) from error


def is_available(device):
    """Return whether torch can use this device on this machine."""
    if not _PROBES.get(device.type, lambda: False)():
        return False
    return device.type != "cuda" or (device.index or 0) < torch.cuda.device_count()


def prediction_device(device, dtype):
    """Return the device for predictions: `device`, or the CPU if that is not available.

    Parameters
    ----------
    device : str or torch.device
    dtype : numpy.dtype
    """
    wanted = _known_device(device)
    usable = is_available(wanted) and not (wanted.type == "mps" and dtype == np.float64)
    return wanted if usable else torch.device("cpu")


def resolve_dtype(dtype, X_dtype, device, work):
    """Return the dtype of the weights and that of the matrix products.

    Parameters
    ----------
    dtype : {"auto", "float64", "float32", "bfloat16"}
    X_dtype : numpy.dtype
    device : torch.device
    work : int
        Multiply-adds of the forward pass of one step.

    Raises
    ------
    ValueError
        If the device does not support float64.
    """
    if dtype == "auto":
        dtype = np.dtype(X_dtype).name if device.type == "cpu" else "float32"
    if dtype == "float64" and device.type == "mps":
        raise ValueError(
            "device='mps' does not support dtype='float64'. Use dtype='float32' or device='cpu'."
        )
    low = dtype == "bfloat16" and _bfloat16_pays_off(device, work)
    return DTYPES[dtype], torch.bfloat16 if low else DTYPES[dtype]


def _bfloat16_pays_off(device, work):
    if device.type != "cpu":
        return True
    return work >= MIN_WORK_FOR_BFLOAT16 and _cpu_has_bfloat16_products()


def _cpu_has_bfloat16_products():
    if hasattr(torch.cpu, "get_capabilities"):
        features = torch.cpu.get_capabilities()
        return any(there for name, there in features.items() if name.endswith("bf16"))
    # torch 2.5 has only these private functions.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def synchronize(device):
    """Wait until a device has finished all work that was launched on it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        getattr(torch, device.type).synchronize()  # torch.accelerator is new in torch 2.6
