"""Types of the public arguments and results."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:  # matplotlib is imported when a figure is drawn
    Axes = Any

Int: TypeAlias = int | np.integer
Float: TypeAlias = float | np.floating | np.integer
Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.floating]
Vector: TypeAlias = npt.ArrayLike
# Arrays, DataFrames of pandas and polars, tensors, nested lists and sparse matrices.
Matrix: TypeAlias = npt.ArrayLike | sp.sparray | sp.spmatrix

HiddenLayerSizes: TypeAlias = Int | Sequence[int] | npt.NDArray[np.integer]
TensorFunction: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
Activation: TypeAlias = str | TensorFunction | Sequence[str | TensorFunction]
Solver: TypeAlias = str | Callable[..., Any]
BatchSize: TypeAlias = Int | Literal["auto"]
Patience: TypeAlias = Float | Literal["auto"]
RandomState: TypeAlias = Int | np.random.RandomState | None
Verbose: TypeAlias = bool | int | Literal["bar"]
Loss: TypeAlias = str | Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Quantile: TypeAlias = Float | Sequence[float] | npt.NDArray[np.floating]
ClassWeight: TypeAlias = dict[Any, Any] | Literal["balanced"] | None
Dropout: TypeAlias = Float | Sequence[float]
Scoring: TypeAlias = str | Callable[..., Any] | None
Callbacks: TypeAlias = list[Any] | tuple[Any, ...] | None
Device: TypeAlias = str | torch.device

AxesLike: TypeAlias = Axes | Sequence[Axes] | npt.NDArray[Any] | None
Names: TypeAlias = Sequence[str] | npt.NDArray[Any]
Epochs: TypeAlias = Sequence[int] | npt.NDArray[np.integer]
Curves: TypeAlias = Mapping[str, Sequence[float] | npt.NDArray[Any]]
Style: TypeAlias = dict[str, Any] | None  # keyword arguments of matplotlib
