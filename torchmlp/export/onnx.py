"""Conversion of estimators and pipelines to ONNX."""

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted, validate_data

from torchmlp import _typing as t
from torchmlp.export.forms import EnsembleExportMixin, ExportMixin
from torchmlp.preprocessing import PiecewiseLinearEncoder
from torchmlp.validation import naming, to_numpy

if TYPE_CHECKING:
    import onnx

_UNSUPPORTED = (np.float16, np.longdouble, np.uint64)  # dtypes


def to_onnx(
    model: Any,
    X: t.Matrix,
    *,
    target_opset: int | dict[str, int] | None = None,
    **options: Any,
) -> "onnx.ModelProto":
    """Convert an estimator, or a pipeline that contains one, to ONNX.

    Parameters
    ----------
    model : estimator
        A fitted TorchMLPClassifier, TorchMLPRegressor, WeightSharingClassifier or
        WeightSharingRegressor, or a pipeline or another meta-estimator that contains one and that
        skl2onnx supports. A PiecewiseLinearEncoder is supported, alone or in a pipeline. Its graph
        computes in float64. With ``handle_missing='error'``, it returns NaN for missing values in a
        feature that had none during fit, instead of an error. A
        TransformedTargetRegressor is supported if its transformer is a StandardScaler,
        MinMaxScaler, MaxAbsScaler, RobustScaler, a FunctionTransformer whose `inverse_func` is one
        of NumPy's `exp`, `expm1`, `log`, `log1p`, `sqrt`, `square` and `sinh` or SciPy's `expit`,
        or a Pipeline of these.
    X : array-like, sparse matrix or pandas.DataFrame
        Sample data, which define the inputs of the graph. An array gives one input named "X". A
        DataFrame gives one input of shape (n_samples, 1) per column, with the name of the column.
        The network computes in float64 if its input is float64, otherwise in float32. 'gelu' always
        has the accuracy of float32.
    target_opset : int or dict, default=None
        Opset version of the graph. None uses the latest version that skl2onnx is tested with.
    **options : dict
        Options of skl2onnx's converters, as ``step__option`` for a step of a pipeline. A regressor
        has the option `return_std`, default False: return the standard deviations as a second
        output, which requires ``loss='gaussian'``. The options of a classifier are

        - `zipmap`, default False: return probabilities as dicts (onnxruntime supports this for
          float32 only), or, with 'columns', as one output per class
        - `logits`, default False: return `predict_logits` instead of probabilities, as (-logit,
          logit) for two classes; in a pipeline, only as ``step__logits``; not for an ensemble
        - `nocl`, default False: return the index of a class instead of its label
        - `output_class_labels`, default False: return `classes_` as an additional output

    Returns
    -------
    onnx.ModelProto
        A regressor has the output "variable", of shape (n_samples, n_targets) or (n_samples,
        n_quantiles), and "std" with ``return_std=True``. A classifier has the outputs "label" and
        "probabilities". For the losses 'hinge' and 'perceptron', the second output is
        `decision_function` instead, as (-score, score) for two classes. If a column of X has the
        name of an output, an underscore is appended to the name of the output.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If an activation is a callable, if `return_std` is true for another loss than 'gaussian', if
        the transformer of a TransformedTargetRegressor is not supported, if the features of X
        differ from those seen in `fit`, if a DataFrame or list has no rows, if a column has an
        empty name, or if a OneHotEncoder has a column of booleans, rare categories in its only
        column, or rare categories and NaN in the same column.

    Examples
    --------
    >>> import numpy as np
    >>> from onnxruntime import InferenceSession
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.export import to_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), clf).fit(X, y)
    >>> onx = to_onnx(pipeline, X)
    >>> session = InferenceSession(onx.SerializeToString())
    >>> label, probabilities = session.run(None, {"X": X})
    >>> (label == pipeline.predict(X)).all()
    np.True_
    >>> np.allclose(probabilities, pipeline.predict_proba(X))
    True
    """
    try:
        import skl2onnx

        from torchmlp.export.onnx_converters import register
        from torchmlp.export.onnx_encoders import register_encoders
        from torchmlp.export.onnx_ensembles import register_ensembles
        from torchmlp.export.onnx_limits import check_one_hot_encoders
        from torchmlp.export.onnx_names import name_inputs
        from torchmlp.export.onnx_targets import register_transformed_target
    except ModuleNotFoundError as error:
        raise ImportError("to_onnx needs skl2onnx: pip install torchmlp[onnx]") from error
    check_is_fitted(model)
    (X,) = to_numpy(X=X)
    X = X.tocsr() if sp.issparse(X) else X
    _check_rows(X)
    with naming("X"):
        validate_data(model, X=X, reset=False, skip_check_array=True)
    check_one_hot_encoders(model)
    register(_subclasses(ExportMixin))
    register_ensembles(_subclasses(EnsembleExportMixin))
    register_encoders([PiecewiseLinearEncoder, *_subclasses(PiecewiseLinearEncoder)])
    register_transformed_target()
    if is_classifier(model):
        options = {"zipmap": False, **options}
    row = _first_row(X)
    onx = skl2onnx.to_onnx(model, row, target_opset=target_opset, options=options)
    if hasattr(row, "columns"):
        name_inputs(onx.graph, list(row.columns))
    return onx


def _check_rows(X):
    """Check that the inputs of the graph can have the types of the values in X."""
    shape = getattr(X, "shape", None)
    is_table = isinstance(shape, tuple) and len(shape) == 2
    if not is_table and not isinstance(X, (list, tuple)):
        raise TypeError(f"X={X!r} must be a DataFrame, a 2D array or a list of rows.")
    dtype = None if hasattr(X, "columns") else np.asarray(X[:1]).dtype
    if dtype is not None and (dtype.kind in "SMmVc" or dtype in _UNSUPPORTED):
        raise TypeError(
            f"X has dtype {dtype}, which the inputs of an ONNX graph do not support. Convert it, "
            "for example with X.astype('float32')."
        )
    types_are_read_from_values = hasattr(X, "iloc") or isinstance(X, (list, tuple))
    if types_are_read_from_values and not len(X):
        raise ValueError(
            f"X has no rows, but the inputs of an ONNX graph get their types from the first row of "
            f"a {type(X).__name__}. Pass at least one row."
        )


def _first_row(X):
    """Return the first row for skl2onnx: a dense array, or a DataFrame with string names."""
    if sp.issparse(X):
        return X[:1].toarray()
    if not hasattr(X, "iloc"):
        row = np.asarray(X[:1])
        return row.astype(row.dtype.newbyteorder("="), copy=False)
    names = [str(name) for name in X.columns]
    if "" in names:
        raise ValueError(
            f"X has the columns {names}. Inputs of an ONNX graph need a name, but one name is "
            "empty. Rename the column and fit again."
        )
    row = X[:1]
    if row.isna().any(axis=None):
        row = X.bfill()[:1]  # the types of the inputs are read from the values
    return row.set_axis(names, axis=1)


def _subclasses(kind):
    # skl2onnx looks up the exact class of a model, so subclasses must be registered, too.
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
