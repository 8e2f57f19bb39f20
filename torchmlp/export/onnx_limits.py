"""Limits of skl2onnx's converter of OneHotEncoder."""

from sklearn.preprocessing import OneHotEncoder


def check_one_hot_encoders(model):
    """Raise a ValueError if a OneHotEncoder in a fitted model cannot be converted correctly.

    Parameters
    ----------
    model : estimator
        The encoders in a Pipeline, a ColumnTransformer and a TransformedTargetRegressor are found.
    """
    if isinstance(model, OneHotEncoder):
        _check(model)
    for part in _parts(model):
        check_one_hot_encoders(part)


def _parts(model):
    parts = [part for _, part in getattr(model, "steps", [])]
    parts += [part for _, part, *_ in getattr(model, "transformers_", [])]
    return [*parts, model.regressor_] if hasattr(model, "regressor_") else parts


def _check(encoder):
    columns = list(getattr(encoder, "feature_names_in_", range(encoder.n_features_in_)))
    all_rare = getattr(encoder, "infrequent_categories_", [None] * len(columns))
    for column, categories, rare in zip(columns, encoder.categories_, all_rare, strict=True):
        limit = _limit(categories, rare, len(columns) == 1)
        if limit:
            raise ValueError(f"The OneHotEncoder of column {column!r} cannot be converted: {limit}")


def _limit(categories, rare, alone):
    """Return a limit that a column exceeds with the remedy, or None."""
    if categories.dtype.kind == "b":
        return "skl2onnx does not support booleans. Convert the column with astype(str) before fit."
    if rare is None:
        return None
    if alone:
        return (
            "skl2onnx supports rare categories only if the encoder has several columns. Set "
            "min_frequency=None of the OneHotEncoder, or add another column of strings."
        )
    if any(map(_is_nan, categories)) and not any(map(_is_nan, rare)):
        return (
            "skl2onnx does not support NaN in a column with rare categories. Replace NaN by a "
            "string before fit: fillna('missing')."
        )
    return None


def _is_nan(category):
    return isinstance(category, float) and category != category
