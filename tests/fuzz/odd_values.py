"""Odd values of parameters and of arrays, for test_bad_input.py."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import torch
from hypothesis import strategies as st

HUGE = 10**400  # not a float64


def parameters():
    """Return odd values of a parameter.

    They are new objects at each call, because some of them change when they are used, such as
    generators of random numbers. Numbers between a thousand and 2**62 are left out: they would be
    valid sizes of large arrays.
    """
    return [
        None,
        *(True, False, np.True_, np.False_),
        *(-1, 0, 1, 2, 3, 2**63, HUGE),
        *(1.0, 0.5, -0.5, 1e-300, 1e300, float("nan"), float("inf"), float("-inf")),
        *(np.int8(3), np.uint64(2), np.int64(0)),
        *(np.float16(0.5), np.float32(0.25), np.longdouble(0.5)),
        *("", "auto", "relu", "adam", "constant", "quantile", "0.5", "log_loss", "cuda:99", "cpu"),
        *(np.str_("sgd"), np.str_("tanh"), b"adam", "\x00", "é" * 300),
        *((), [], {}, set(), frozenset({1}), range(3), slice(2), ...),
        *(
            [1],
            [3, 2],
            (2,),
            [2.5],
            [0.5],
            ["relu"],
            [None],
            [[1, 2]],
            [True],
            [-1],
            [0.1, 0.9],
            [np.nan],
        ),
        *({0: 1.0}, {"a": 2.0, "b": 1.0}, {0: -1.0}, {0: "x"}, {None: None}, {0: np.nan, 1: 1.0}),
        *(np.array(3), np.array(0.5), np.array([3]), np.array([])),
        *(np.array([2, 3]), np.array([[2]])),
        *(np.array("relu"), np.array(["relu"]), np.array(None), np.array([0.2, 0.8]), np.ones(3)),
        *(Decimal("0.5"), Fraction(1, 2), 1j, pd.NA, pd.NaT, datetime.timedelta(1)),
        *(torch.tensor(3), torch.tensor(0.5), torch.tensor([2, 3])),
        *(torch.device("cpu"), torch.float32),
        *(object(), object, int, np.float32, "float32", lambda *args: args, max, Exception("text")),
        *(np.random, np.random.default_rng(0), np.random.RandomState(0), pd.Series([1]), sp.eye(2)),
    ]


def arguments():
    """Return odd values of any argument, by name. They are new objects at each call."""
    return {
        "None": None,
        "text": "text",
        "bytes": b"text",
        "object": object(),
        "dict": {},
        "set": {1, 2},
        "int": 3,
        "nan": float("nan"),
        "0-dimensional": np.array(1.0),
        "empty list": [],
        "nested empty list": [[]],
        "function": len,
        "class": np.ndarray,
        "ellipsis": ...,
        "generator": (i for i in range(3)),
        "ragged": [[1, 2], [3]],
        "ragged objects": np.array([[1], [2, 3]], dtype=object),
        "texts": ["a", "b"],
        "empty frame": pd.DataFrame(),
        "meta tensor": torch.empty(3, 2, device="meta"),
        "sparse tensor": torch.eye(3).to_sparse(),
        "complex tensor": torch.ones(3, 2, dtype=torch.complex64),
        "RandomState": np.random.RandomState(0),
    }


PARAMETERS = st.sampled_from(range(len(parameters()))).map(lambda i: parameters()[i])


def _with(value, dtype=None):
    def change(A):
        A = A.astype(dtype or np.result_type(A, type(value)))
        A[(len(A) // 2, *[0] * (A.ndim - 1))] = value
        return A

    return change


def _structured(A):
    return np.zeros(len(A), dtype=[("a", float), ("b", int)])


def _masked(A):
    return np.ma.masked_array(A, mask=np.arange(A.size).reshape(A.shape) == 1)


def _frame_with(values):
    return lambda A: pd.DataFrame(A.reshape(len(A), -1)).assign(odd=_repeated(values, len(A)))


def _repeated(values, n):
    return [values[i % len(values)] for i in range(n)]


def _filled(values, dtype=object):
    def change(A):
        filled = np.empty(A.shape, dtype=dtype)
        filled.ravel()[:] = _repeated(values, A.size)
        return filled

    return change


# Name -> a function from a valid array of numbers to an odd one.
CHANGES = {
    **{name: lambda A, name=name: arguments()[name] for name in arguments()},
    "no rows": lambda A: A[:0],
    "one row": lambda A: A[:1],
    "one row less": lambda A: A[:-1],
    "one row more": lambda A: np.concatenate([A, A[:1]]),
    "one dimension more": lambda A: A[None],
    "column": lambda A: A[..., None],
    "first column": lambda A: A[:, 0] if A.ndim > 1 else A[:, None],
    "one column less": lambda A: A[:, :-1] if A.ndim > 1 else A,
    "one column more": lambda A: np.column_stack([A, A]),
    "no columns": lambda A: A[:, :0] if A.ndim > 1 else A[:, None][:, :0],
    "transposed": lambda A: A.T,
    "NaN": _with(np.nan, float),
    "infinity": _with(np.inf, float),
    "-infinity": _with(-np.inf, float),
    "1e308": _with(1e308, float),
    "1e39 in float32": lambda A: _with(3e38, float)(A).astype(np.float32),
    "-1": _with(-1.0, float),
    "negative": lambda A: -np.abs(A) - 1,
    "zeros": np.zeros_like,
    "-0.0": lambda A: np.full(A.shape, -0.0),
    "subnormal": lambda A: np.full(A.shape, 5e-324),
    "1e300": lambda A: np.full(A.shape, 1e300),
    "complex": lambda A: A.astype(complex),
    "texts of numbers": lambda A: A.astype(str),
    "bytes of numbers": lambda A: A.astype("S"),
    "words": _filled(["a", "b", "c"], "U1"),
    "objects": lambda A: A.astype(object),
    "objects with None": _filled([1.0, None]),
    "objects with NA": _filled([1.0, pd.NA]),
    "objects with text": _filled([1.0, "a"]),
    "objects with lists": _filled([1.0, (1, 2)]),
    "objects with huge integers": _filled([1, 10**400]),
    "objects with decimals": _filled([Decimal("0.5"), Decimal("1.5")]),
    "objects with booleans": _filled([True, 2.0]),
    "dates": _filled([0, 1], "datetime64[D]"),
    "durations": _filled([0, 1], "timedelta64[s]"),
    "structured": _structured,
    "masked": _masked,
    "not masked": np.ma.masked_array,
    "float16": lambda A: A.astype(np.float16),
    "longdouble": lambda A: A.astype(np.longdouble),
    "int8": lambda A: A.astype(np.int8),
    "uint64": lambda A: np.full(A.shape, 2**64 - 1, dtype=np.uint64),
    "bool": lambda A: A > 0,
    "big endian": lambda A: A.astype(">f8"),
    "matrix": np.asmatrix,
    "list": np.ndarray.tolist,
    "tuple": lambda A: tuple(A.tolist()),
    "memoryview": lambda A: memoryview(np.ascontiguousarray(A)),
    "range": lambda A: range(len(A)),
    "csr": lambda A: sp.csr_array(np.atleast_2d(A)),
    "csr with NaN": lambda A: sp.csr_array(np.atleast_2d(_with(np.nan, float)(A))),
    "dok": lambda A: sp.dok_array(np.atleast_2d(A)),
    "dia": lambda A: sp.dia_matrix(np.atleast_2d(A)),
    "bool csr": lambda A: sp.csr_array(np.atleast_2d(A > 0)),
    "tensor": torch.tensor,
    "tensor with gradient": lambda A: torch.tensor(A.astype(float), requires_grad=True),
    "bfloat16 tensor": lambda A: torch.tensor(A).to(torch.bfloat16),
    "frame": lambda A: pd.DataFrame(A.reshape(len(A), -1)),
    "frame with names": lambda A: pd.DataFrame(A.reshape(len(A), -1)).add_prefix("x"),
    "frame with equal names": lambda A: pd.DataFrame(A.reshape(len(A), -1)).set_axis(
        ["x"] * (A.size // len(A)), axis=1
    ),
    "frame with mixed names": lambda A: pd.DataFrame(A.reshape(len(A), -1)).assign(text=1.0),
    "frame with texts": _frame_with(["a", "b"]),
    "frame with dates": _frame_with([datetime.datetime(2020, 1, 1)]),
    "frame with None": _frame_with([1, None]),
    "series": lambda A: pd.Series(A.ravel()),
    "series with NA": lambda A: pd.Series(_repeated([1, pd.NA], len(A)), dtype="Int64"),
    "categories": lambda A: pd.Series(_repeated(["a", "b"], len(A)), dtype="category"),
    "polars": lambda A: pl.DataFrame(A.reshape(len(A), -1)),
    "polars with null": lambda A: pl.DataFrame({"a": _repeated([1.0, None], len(A)), "b": 1.0}),
    "polars with texts": lambda A: pl.DataFrame({"a": _repeated(["u", "v"], len(A)), "b": 1.0}),
}
