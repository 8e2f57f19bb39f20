"""Checks of the types and shapes of a state that was read from a file."""

from numbers import Real

import numpy as np


def check_like(template, value):
    """Check that a value has the structure of a template.

    Parameters
    ----------
    template : object
        What is required of the value:

        - None: nothing.
        - An array: an array of the same dtype and shape.
        - An empty dict: a dict.
        - Another dict: a dict with the same keys, and with values like those of the template.
        - A list: a list.
        - A bool, a number or a string: one of these, of the same kind.
    value : object

    Raises
    ------
    ValueError
        If the value is different.
    """
    if template is None:
        return
    if isinstance(template, np.ndarray):
        valid = isinstance(value, np.ndarray) and value.shape == template.shape
        valid = valid and value.dtype == template.dtype
    elif isinstance(template, dict):
        valid = isinstance(value, dict) and (not template or template.keys() == value.keys())
    else:
        kinds = (kind for kind in (bool, np.bool_, Real, str, list) if isinstance(template, kind))
        kind = next(kinds)
        valid = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if not valid:
        raise ValueError(f"expected a value like {template!r}, got one of type {type(value)}")
    if isinstance(template, dict):
        for key, item in template.items():
            check_like(item, value[key])


def check_generator(template, value):
    """Check the state of a `RandomState`, as `get_state(legacy=False)` returned it.

    Parameters
    ----------
    template : dict
        The state of a generator of the same kind.
    value : dict
    """
    check_like(template, value)
    # NumPy does not check the index of the next random number in the key.
    key, position = (value["state"].get(name) for name in ("key", "pos"))
    if key is not None and not 0 <= position <= len(key):
        raise ValueError(f"invalid position {position}")


def check_order(template, value):
    """Check that a value is a permutation of an array."""
    if not np.array_equal(np.sort(value), np.sort(template)):
        raise ValueError("the order of the samples is not a permutation")


def check_progress(template, values):
    """Check the attributes of a `Progress`.

    Parameters
    ----------
    template : dict
        The attributes before the first epoch.
    values : dict
    """
    check_like(template, values)
    curves = [values[name] or [] for name in _CURVES]
    numbers = [number for curve in curves for number in curve]
    numbers += [*values["lowest"].values(), *(values[name] or 0.0 for name in _NUMBERS)]
    counts = [values[name] for name in ("n_iter", "t", "no_improvement_count")]
    n_rows = min(len(values["loss_curve"]), len(values["history"]))
    if not (
        all(isinstance(number, Real) for number in numbers)
        and all(isinstance(count, int) and count >= 0 for count in counts)
        and values["n_iter"] <= n_rows
        and all(isinstance(row["train_loss"], Real) for row in values["history"])
    ):
        raise ValueError("the losses, the counters and the history do not match")


_CURVES = ("loss_curve", "validation_loss_curve", "validation_scores")
_NUMBERS = ("loss", "best_loss", "best_validation_score")
