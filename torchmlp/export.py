"""A fitted model in other forms: torch's, scikit-learn's, and layer by layer."""

import copy

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from torchmlp.encoding import ClassEncoder, ValueEncoder
from torchmlp.training.activations import per_layer
from torchmlp.training.fit_state import Progress
from torchmlp.training.losses import resolve_loss
from torchmlp.validation import accepts

_MODULES: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
}
_THEIR_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
_THEIR_LOSSES = ("log_loss", "squared_error", "poisson")
_FITTED = (
    "classes_",
    "n_features_in_",
    "feature_names_in_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "n_iter_",
    "t_",
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
)


class Apply(nn.Module):
    """A function of tensors, as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, values):
        return self.function(values)


def both_probabilities(probability):
    """Return the columns (1 - p, p)."""
    return torch.cat([1 - probability, probability], dim=1)


class ExportMixin:
    """The forms that a fitted estimator can take and be made from."""

    def to_torch(self, *, output="prediction"):
        """Return the network as a torch module, with a copy of the weights.

        Parameters
        ----------
        output : {'prediction', 'logits'}, default='prediction'
            What the module returns for a tensor of shape (n_samples, n_features) in the dtype of
            the weights.

            - 'prediction', in the same shapes as the method: `predict` of a regressor,
              `predict_proba` of a classifier, or its `decision_function` if it has no
              probabilities
            - 'logits', the outputs of the last linear layer, of shape (n_samples, n_outputs):
              those before softmax, sigmoid or, with the losses 'poisson' and 'gamma', the
              exponential function. It is the form for further training (for example with
              ``torch.nn.CrossEntropyLoss``) and for attributions with captum or shap, whose
              GradientExplainer needs ``.float()``. Two classes have one output, the log-odds of
              ``classes_[1]``.

        Returns
        -------
        torch.nn.Sequential
            In evaluation mode.

        Raises
        ------
        ValueError
            If `output` is none of these.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.to_torch()
        Sequential(
          (0): Linear(in_features=4, out_features=5, bias=True)
          (1): ReLU()
          (2): Linear(in_features=5, out_features=3, bias=True)
          (3): Softmax(dim=1)
        )
        >>> network = clf.to_torch(output="logits")
        >>> network[-1]
        Linear(in_features=5, out_features=3, bias=True)
        >>> loss = torch.nn.CrossEntropyLoss()(network(torch.tensor(X)), torch.tensor(y))
        """
        check_is_fitted(self)
        if output not in ("prediction", "logits"):
            raise ValueError(f"output={output!r} is unknown. Use 'prediction' or 'logits'.")
        n_hidden = len(self.coefs_) - 1
        modules: list[nn.Module] = [_linear(self.coefs_[0], self.intercepts_[0])]
        for activation, dropout, coefs, intercepts in zip(
            per_layer(self.activation, n_hidden),
            per_layer(self.dropout, n_hidden),
            self.coefs_[1:],
            self.intercepts_[1:],
            strict=True,
        ):
            modules.append(Apply(activation) if callable(activation) else _MODULES[activation]())
            if dropout:
                modules.append(nn.Dropout(float(dropout)))
            modules.append(_linear(coefs, intercepts))
        if output == "prediction":
            modules += self._output_modules()
        return nn.Sequential(*modules).eval()

    def _output_modules(self):
        """Return the modules between the last linear layer and the prediction."""
        if self.out_activation_ == "softmax":
            return [nn.Softmax(dim=1)]
        if self.out_activation_ == "logistic":
            two = self.n_outputs_ == 1
            return [nn.Sigmoid(), Apply(both_probabilities)] if two else [nn.Sigmoid()]
        link = [Apply(torch.exp)] if self.out_activation_ == "exp" else []
        return [*link, nn.Flatten(0)] if self.n_outputs_ == 1 else link

    def to_sklearn(self):
        """Return the model as scikit-learn's estimator, with a copy of the weights.

        Parameters that scikit-learn's class does not have, or has not in this value, keep its
        defaults: they matter for training only.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Predicts the same.

        Raises
        ------
        ValueError
            If scikit-learn has no such activation or loss.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> ours = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> (ours.to_sklearn().predict(X) == ours.predict(X)).all()
        np.True_
        """
        check_is_fitted(self)
        for name, known in (("activation", _THEIR_ACTIVATIONS), ("loss", _THEIR_LOSSES)):
            value = getattr(self, name)
            if not (isinstance(value, str) and value in known):
                raise ValueError(
                    f"{name}={value!r} has no counterpart in scikit-learn, which knows {known}. "
                    "Use to_torch() instead."
                )
        theirs = MLPClassifier() if is_classifier(self) else MLPRegressor()
        for name, value in self.get_params().items():
            if accepts(theirs, name, value):
                theirs.set_params(**{name: value})
        _copy_fitted(self, theirs)
        theirs._no_improvement_count = self._no_improvement_count
        if is_classifier(self):
            theirs._label_binarizer = self._encoder.binarizer
        return theirs

    @classmethod
    def from_sklearn(cls, model):
        """Make an estimator of a fitted one of scikit-learn's, with a copy of the weights.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor
            A fitted model of the same kind.

        Returns
        -------
        TorchMLPClassifier or TorchMLPRegressor
            Predicts the same.

        Raises
        ------
        TypeError
            If the model is of another class.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neural_network import MLPClassifier
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> theirs = MLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> ours = TorchMLPClassifier.from_sklearn(theirs)
        >>> (ours.predict(X) == theirs.predict(X)).all()
        np.True_
        """
        ours = cls()
        wanted = MLPClassifier if is_classifier(ours) else MLPRegressor
        if not isinstance(model, wanted):
            raise TypeError(
                f"{cls.__name__}.from_sklearn takes a fitted {wanted.__name__}, got {model!r}."
            )
        check_is_fitted(model)
        ours.set_params(**model.get_params())
        _copy_fitted(model, ours)
        ours._no_improvement_count = getattr(model, "_no_improvement_count", 0)
        progress = Progress()
        for loss in getattr(model, "loss_curve_", []):  # lbfgs has none
            progress.begin_epoch()
            progress.record_loss("train_loss", float(loss))
        ours._saved_state, ours._history = {}, progress.history
        ours.validation_loss_curve_, ours.device_ = None, "cpu"
        ours.n_parameters_ = sum(array.size for array in ours.coefs_ + ours.intercepts_)
        if is_classifier(ours):
            ours._encoder = ClassEncoder.of(model._label_binarizer)
        else:
            ours._encoder = ValueEncoder(resolve_loss(model.loss))
        return ours


def _linear(coefs, intercepts):
    layer = nn.utils.skip_init(nn.Linear, *coefs.shape)
    layer.weight = nn.Parameter(torch.from_numpy(np.array(coefs.T)))
    layer.bias = nn.Parameter(torch.from_numpy(np.array(intercepts)))
    return layer


def _copy_fitted(source, target):
    for name in _FITTED:
        if hasattr(source, name):
            setattr(target, name, copy.deepcopy(getattr(source, name)))
    target.coefs_ = [np.array(coefs) for coefs in source.coefs_]
    target.intercepts_ = [np.array(intercepts) for intercepts in source.intercepts_]


def to_onnx(model, X, *, target_opset=None, **options):
    """Convert an estimator, or a pipeline with one in it, to ONNX.

    Parameters
    ----------
    model : estimator
        A fitted TorchMLPClassifier or TorchMLPRegressor, or a pipeline or other meta-estimator
        that skl2onnx converts, with one of them in it. A TransformedTargetRegressor is converted
        too, if its transformer is a StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, a
        FunctionTransformer whose `inverse_func` is one of NumPy's `exp`, `expm1`, `log`,
        `log1p`, `sqrt`, `square` and `sinh` or SciPy's `expit`, or a Pipeline of these.
    X : array-like, sparse matrix or pandas.DataFrame
        Some rows of data, for the inputs of the graph: for an array one named "X", for a
        DataFrame one for each column, of shape (n_samples, 1). The network computes in float64
        where its input is that, else in float32; 'gelu' has the accuracy of float32 in both.
    target_opset : int or dict, default=None
        Version of the operators, by default the latest that skl2onnx is tested with.
    **options : dict
        Options of skl2onnx's converters, for a step of a pipeline as ``step__option``. Those of
        a classifier are

        - `zipmap`, default False: return probabilities as dicts (onnxruntime does for float32
          only), or, with 'columns', as one output for each class
        - `logits`, default False: return `predict_logits` in place of probabilities, those of
          two classes as (-logit, logit); in a pipeline with the name of the step only
        - `nocl`, default False: return the index of a class in place of its label
        - `output_class_labels`, default False: return `classes_` as one more output

    Returns
    -------
    onnx.ModelProto
        For a regressor with the output "variable", of shape (n_samples, n_outputs). For a
        classifier with "label" and "probabilities"; with a loss that has none, 'hinge' or
        'perceptron', the latter is `decision_function`, for two classes as (-score, score).

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If an activation is a callable, the transformer of a TransformedTargetRegressor is another
        one, or X has other features than the model.

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

        from torchmlp.onnx_converter import register
        from torchmlp.onnx_targets import register_transformed_target
    except ModuleNotFoundError as error:
        raise ImportError("to_onnx needs skl2onnx: pip install torchmlp[onnx]") from error
    check_is_fitted(model)
    validate_data(model, X=X, reset=False, skip_check_array=True)
    register(_heirs(ExportMixin))
    register_transformed_target()
    if is_classifier(model):
        options = {"zipmap": False, **options}
    return skl2onnx.to_onnx(model, _first_row(X), target_opset=target_opset, options=options)


def _first_row(X):
    if sp.issparse(X):  # ONNX knows dense inputs only
        return X[:1].toarray()
    return X[:1] if hasattr(X, "iloc") else np.asarray(X[:1])


def _heirs(kind):
    # skl2onnx looks for the very class of a model, and users derive their own from ours.
    for heir in kind.__subclasses__():
        yield heir
        yield from _heirs(heir)
