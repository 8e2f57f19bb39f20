"""The state of an object, for tests that nothing changed."""

import copy
import math
import types

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

ATOMS = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, torch.device)


def state_of(instance):
    """Return a copy of the attributes of an object, for `assert_same_state`."""
    return copy.deepcopy(vars(instance))


def assert_same_state(instance, state):
    """Assert that the attributes of an object are those of `state_of`, to the last bit."""
    now = vars(instance)
    assert now.keys() == state.keys(), now.keys() ^ state.keys()
    for name, value in state.items():
        assert is_same(value, now[name]), (name, value, now[name])


def is_same(one, other):
    """Return whether two objects have the same type and values. NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if one is other or isinstance(one, ATOMS):
        return one is other
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and all(map(is_same, one.ravel().tolist(), other.ravel().tolist()))
        )
    if isinstance(one, np.random.RandomState):
        return is_same(one.get_state(legacy=False), other.get_state(legacy=False))
    if isinstance(one, (float, np.floating)):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, torch.Tensor):
        return is_same(one.detach().numpy(), other.detach().numpy())
    if sp.issparse(one):
        return one.shape == other.shape and is_same(one.toarray(), other.toarray())
    if isinstance(one, (pd.DataFrame, pd.Series)):
        return one.equals(other)
    if hasattr(one, "__dict__"):
        return is_same(vars(one), vars(other))
    return bool(one == other) or type(one) is object
