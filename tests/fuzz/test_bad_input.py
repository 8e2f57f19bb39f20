"""Fuzzing: odd arguments and parameters give a result or an error that names them.

The error is a ValueError or a TypeError. After an error, the object has its earlier state.
"""

import contextlib
import copy
import functools
import inspect
import os
import re
import tempfile
import warnings
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from comparison import assert_same_outcome, run
from helpers import BEFORE_1_7
from hypothesis import event, given, note
from hypothesis import strategies as st
from odd_values import CHANGES, HUGE, PARAMETERS
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from states import assert_same_state, is_same, state_of

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, inspection, tabular_pipeline
from torchmlp.callbacks import Checkpoint, Snapshots
from torchmlp.ensemble import WeightSharingClassifier, WeightSharingRegressor
from torchmlp.export import to_onnx
from torchmlp.preprocessing import PiecewiseLinearEncoder

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(12, 2)
CODES = np.arange(12) % 3
TARGETS = {
    "classes": CODES,
    "two classes": CODES % 2,
    "labels": (RANDOM.rand(12, 2) < 0.5).astype(int),
    "values": X.sum(axis=1),
    "columns": X + RANDOM.randn(12, 2),
}
WEIGHTS = np.linspace(0.5, 2, 12)
FEW_EPOCHS = dict(
    hidden_layer_sizes=(3,), max_iter=3, tol=100.0, n_iter_no_change=1, random_state=0
)
MLPS = (TorchMLPClassifier, TorchMLPRegressor)
ENSEMBLES = {
    WeightSharingClassifier: TorchMLPClassifier(**FEW_EPOCHS),
    WeightSharingRegressor: TorchMLPRegressor(**FEW_EPOCHS),
}
SKLEARN = {TorchMLPClassifier: MLPClassifier, TorchMLPRegressor: MLPRegressor}
# scikit-learn computes with numbers of these types, ours with those of Python.
NOT_COMPARED = np.random.RandomState, np.float16, np.float32, np.longdouble, torch.Tensor
DIVERGED = "may contain large values and need to be preprocessed"


@dataclass
class Call:
    """A call with valid arguments, some of which a test replaces.

    Attributes
    ----------
    make : callable
        Returns the object whose state may change only if the call succeeds.
    function : callable
        Gets the object and the arguments.
    arrays : dict of str to array
        Arguments.
    others : dict of str to object
        Arguments that are not arrays.
    is_sklearn : bool
        Whether errors may be those of scikit-learn, which may not name the argument.
    fits_mlp : bool
        Whether the call fits a `TorchMLPClassifier` or `TorchMLPRegressor`.
    """

    name: str
    make: Any
    function: Any
    arrays: dict = field(default_factory=dict)
    others: dict = field(default_factory=dict)
    is_sklearn: bool = False
    fits_mlp: bool = False

    def _repr_pretty_(self, printer, cycle):
        printer.text(self.name)  # hypothesis prints examples in this way


@contextlib.contextmanager
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
    plt.close("all")


@functools.cache
def _fitted_once(cls, target, parameters):
    parameters = dict(parameters)
    if cls in ENSEMBLES:
        model = cls(ENSEMBLES[cls], n_estimators=2)
    elif cls is PiecewiseLinearEncoder:
        model = cls(min_samples_leaf=1, **parameters)
    else:
        model = cls(**FEW_EPOCHS, **parameters)
    with quiet():
        return model.fit(X, TARGETS[target])


def fitted(cls, target, **parameters):
    return lambda: copy.deepcopy(_fitted_once(cls, target, tuple(parameters.items())))


def _method(name):
    return lambda instance, **arguments: getattr(instance, name)(**arguments)


def _fit_calls():
    mlps = {TorchMLPClassifier: ("classes", "two classes", "labels")}
    mlps[TorchMLPRegressor] = ("values", "columns")
    for cls in (*mlps, *ENSEMBLES, PiecewiseLinearEncoder):
        kind = TorchMLPRegressor if cls is WeightSharingRegressor else TorchMLPClassifier
        for target in mlps.get(cls, mlps[kind][:1]):
            y = TARGETS[target]
            arrays = {"X": X, "y": y, "sample_weight": WEIGHTS}
            validation = {"X_val": X[::2], "y_val": y[::2], "sample_weight_val": WEIGHTS[::2]}
            name = f"{cls.__name__}, {target}"
            make = fitted(cls, target)
            fit = functools.partial(Call, function=_method("fit"), fits_mlp=cls in mlps)
            yield fit(f"fit of {name}", make, arrays=arrays)
            if cls is not PiecewiseLinearEncoder:
                yield fit(f"fit with validation of {name}", make, arrays=arrays | validation)
            if cls in mlps:
                warm = fitted(cls, target, warm_start=True)
                stopping = fitted(cls, target, early_stopping=True, validation_fraction=0.5)
                yield fit(f"fit of warm {name}", warm, arrays=arrays)
                yield fit(f"fit of early stopping {name}", stopping, arrays=arrays)
                partial_fit = _method("partial_fit")
                yield Call(f"partial_fit of {name}", warm, partial_fit, arrays, fits_mlp=True)
                yield Call(f"score of {name}", make, _method("score"), arrays)
    new = functools.partial(TorchMLPClassifier, **FEW_EPOCHS)
    arrays = {"X": X, "y": CODES, "classes": np.arange(3)}
    yield Call("first partial_fit", new, _method("partial_fit"), arrays, fits_mlp=True)


def _prediction_calls():
    methods = {
        "predict": ("classes", "labels", "values"),
        "predict_proba": ("classes", "labels"),
        "predict_log_proba": ("two classes",),
        "predict_logits": ("classes",),
        "hidden_activations": ("values",),
    }
    for method, targets in methods.items():
        for target in targets:
            cls = TorchMLPRegressor if target == "values" else TorchMLPClassifier
            make = fitted(cls, target)
            yield Call(f"{method} of {cls.__name__}, {target}", make, _method(method), {"X": X})
    for cls in ENSEMBLES:
        make = fitted(cls, "classes")
        yield Call(f"predict of {cls.__name__}", make, _method("predict"), {"X": X})
    hinge = fitted(TorchMLPClassifier, "classes", loss="hinge")
    yield Call("decision_function", hinge, _method("decision_function"), {"X": X})
    encoder = fitted(PiecewiseLinearEncoder, "classes")
    yield Call("transform", encoder, _method("transform"), {"X": X})
    names = {"input_features": np.array(["a", "b"])}
    yield Call("get_feature_names_out", encoder, _method("get_feature_names_out"), {}, names)
    yield Call(
        "fit of tabular_pipeline",
        lambda: tabular_pipeline(TorchMLPClassifier(**FEW_EPOCHS)),
        lambda pipeline, y: pipeline.fit(X, y),
        {"y": CODES},
        is_sklearn=True,
    )
    yield Call("to_torch", hinge, _method("to_torch"), {}, {"output": "logits"})
    yield Call("from_sklearn", hinge, _method("from_sklearn"), {}, {"model": None})
    yield Call(
        "tabular_pipeline",
        object,
        lambda _, estimator: tabular_pipeline(estimator),
        {},
        {"estimator": "classifier"},
    )
    yield Call("to_onnx", hinge, lambda model, X: to_onnx(model, X), {"X": X})


def _display_calls():
    def display(name):
        cls = getattr(inspection, name)
        return lambda model, **arguments: cls.from_estimator(model, **arguments)

    recorded = _recorded
    resolution = {"grid_resolution": 5, "margin": 0.1, "feature_names": ["a", "b"]}
    arrays = {"X": X, "y": CODES}
    layer = {"layer": 0}
    calls = [
        ("TrainingAnimation", arrays, resolution),
        ("DecisionRegionDisplay", arrays, resolution | layer),
        ("HiddenFeaturesDisplay", {"X": X}, resolution | layer | {"output": 0}),
        ("HiddenFeaturesDisplay", {}, {"image_shape": (1, 2), "layer": 0}),
        ("NetworkDisplay", {}, {"feature_names": ["a", "b"], "output_names": ["c", "d", "e"]}),
        ("WeightsDisplay", {"X": X}, {"n_bins": 5}),
    ]
    for name, own_arrays, others in calls:
        yield Call(f"{name}.from_estimator", recorded, display(name), own_arrays, others)
    yield Call(
        "PiecewiseLinearEncodingDisplay.from_estimator",
        fitted(PiecewiseLinearEncoder, "classes"),
        display("PiecewiseLinearEncodingDisplay"),
        {"X": X},
        {"feature": 0, "n_bins": 5, "grid_resolution": 5, "margin": 0.1},
    )
    for name in inspection.__all__:
        if hasattr(getattr(inspection, name), "from_estimator"):
            # The estimator itself is the odd value.
            parameters = inspect.signature(getattr(inspection, name).from_estimator).parameters
            required = {n: v for n, v in arrays.items() if n in parameters}
            yield Call(f"{name} of", object, _of_estimator(name, required), {}, {"estimator": None})


def _of_estimator(name, arrays):
    cls = getattr(inspection, name)
    return lambda _, estimator: cls.from_estimator(estimator, **arrays)


@functools.cache
def _recorded_once():
    with quiet():
        return TorchMLPClassifier(**FEW_EPOCHS, callbacks=[Snapshots()]).fit(X, CODES)


def _recorded():
    return copy.deepcopy(_recorded_once())


CALLS = [*_fit_calls(), *_prediction_calls()]
DISPLAY_CALLS = list(_display_calls())


def _check(call, changed):
    """Make a call with changed arguments, and check its error and the state after it."""
    instance = call.make()
    arguments = {**call.arrays, **call.others, **changed}
    has_state = hasattr(instance, "__dict__")
    state = state_of(instance) if has_state else None
    arrays = copy.deepcopy(call.arrays)
    errors = (ValueError, TypeError, IndexError) if call.is_sklearn else (ValueError, TypeError)
    try:
        with quiet():
            call.function(instance, **arguments)
    except errors as error:
        event("error")
        if call.is_sklearn:
            return
        assert_names(error, changed, others=call.arrays)
        if has_state:
            assert_same_state(instance, state)
    else:
        if has_state and "fit" not in call.name:
            assert_same_state(instance, state)
        if call.fits_mlp:
            _check_fitted(instance)
    assert is_same(call.arrays, arrays)


def _check_fitted(model):
    """Check that a fitted model predicts finite values, also a copy of it."""
    rows = np.zeros((2, model.n_features_in_))
    with quiet():
        if hasattr(model, "feature_names_in_"):
            model = copy.copy(model)
            del model.feature_names_in_
        predictions = model.predict(rows)
        again = copy.deepcopy(model).predict(rows)
    assert is_same(predictions, again)
    assert all(np.isfinite(w).all() for w in model.coefs_ + model.intercepts_)


def assert_names(error, names, others=()):
    """Assert that the message of an error has one of the names.

    Parameters
    ----------
    error : Exception
    names : iterable of str
        Names of the changed arguments.
    others : iterable of str
        Names of arguments that may be named instead, in errors for arguments that do not match.
    """
    text = str(error)
    if isinstance(error, NotFittedError) or DIVERGED in text:
        return
    if re.search("expected|inconsistent|mismatch|match", text):
        names = {*names, *others}
    assert re.search("|".join(rf"\b{name}\b" for name in names), text), text


@given(data=st.data())
def test_odd_arrays_give_a_result_or_an_error_with_their_name(data):
    call = data.draw(st.sampled_from([call for call in CALLS if call.arrays]))
    names = data.draw(
        st.lists(st.sampled_from(sorted(call.arrays)), min_size=1, max_size=2, unique=True)
    )
    changes = {name: data.draw(st.sampled_from(sorted(CHANGES)), name) for name in names}
    changed = {}
    with quiet():
        for name, change in changes.items():
            try:
                changed[name] = CHANGES[change](call.arrays[name])
            except (TypeError, ValueError):  # this array cannot be changed in this way
                return
    note(f"{changed}")
    _check(call, changed)


@given(data=st.data())
def test_odd_arguments_give_a_result_or_an_error_with_their_name(data):
    call = data.draw(st.sampled_from([call for call in CALLS if call.others]))
    name = data.draw(st.sampled_from(sorted(call.others)))
    _check(call, {name: data.draw(PARAMETERS)})


@given(data=st.data())
def test_odd_arguments_of_displays(data):
    call = data.draw(st.sampled_from(DISPLAY_CALLS))
    name = data.draw(st.sampled_from(sorted({**call.arrays, **call.others})))
    if name in call.others:
        _check(call, {name: data.draw(PARAMETERS)})
        return
    with quiet():
        try:
            value = CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))](call.arrays[name])
        except (TypeError, ValueError):
            return
    _check(call, {name: value})


def _parameters_of(cls):
    return sorted(set(inspect.signature(cls).parameters))


@given(data=st.data())
def test_odd_parameters_of_estimators(data):
    cls = data.draw(st.sampled_from(MLPS))
    names = data.draw(
        st.lists(st.sampled_from(_parameters_of(cls)), min_size=1, max_size=2, unique=True)
    )
    # A large number of epochs needs the other parameters to end.
    names = ["max_iter"] if "max_iter" in names else names
    values = {name: data.draw(PARAMETERS, name) for name in names}
    target = data.draw(st.sampled_from(["classes", "two classes", "labels", "values", "columns"]))
    y = TARGETS[target if (target in ("values", "columns")) == (cls is MLPS[1]) else "two classes"]
    model = cls(**{**FEW_EPOCHS, **values})
    state = copy.copy(vars(model))
    with quiet():
        ours = run(model, [lambda estimator: estimator.fit(X, y)])
    if ours.error is not None:
        assert isinstance(ours.error, (ValueError, TypeError)), repr(ours.error)
        assert_names(ours.error, names)
        assert vars(model).keys() == state.keys()
        assert all(vars(model)[name] is value for name, value in state.items())
    else:
        _check_fitted(model)
    _compare_with_sklearn(ours, cls, values, y)


def _compare_with_sklearn(ours, cls, values, y):
    """Compare the fit with scikit-learn's, if that has the parameters and accepts the values."""
    theirs_cls = SKLEARN[cls]
    if BEFORE_1_7 or not values.keys() <= inspect.signature(theirs_cls).parameters.keys():
        return
    if any(isinstance(value, NOT_COMPARED) or value is HUGE for value in values.values()):
        return

    def outcome(X, changed=None):
        parameters = {**FEW_EPOCHS, **values, **(changed or {})}
        return run(theirs_cls(**parameters), [lambda e: e.fit(X, y)])

    theirs = outcome(X)
    if theirs.error is None:
        assert_same_outcome(ours, theirs, X, outcome)


@given(data=st.data())
def test_odd_parameters_of_ensembles_and_encoder(data):
    cls = data.draw(st.sampled_from([*ENSEMBLES, PiecewiseLinearEncoder]))
    name = data.draw(st.sampled_from(_parameters_of(cls)))
    value = data.draw(PARAMETERS)
    defaults = {} if cls is PiecewiseLinearEncoder else {"estimator": ENSEMBLES[cls]}
    if name == "estimator" and value is None:
        return  # the default, which has a hundred units
    model = cls(**{**defaults, name: value})
    state = copy.copy(vars(model))
    outcome = run(model, [lambda model: model.fit(X, CODES)])
    if outcome.error is not None:
        assert isinstance(outcome.error, (ValueError, TypeError)), repr(outcome.error)
        assert_names(outcome.error, [name])
        assert vars(model).keys() == state.keys()


@given(data=st.data())
def test_odd_parameters_of_callbacks(data):
    cls = data.draw(st.sampled_from([Snapshots, Checkpoint]))
    name = data.draw(st.sampled_from(_parameters_of(cls)))
    value = data.draw(PARAMETERS)
    parameters = {"path": "fit.ckpt", name: value} if cls is Checkpoint else {name: value}
    model = TorchMLPClassifier(**FEW_EPOCHS, callbacks=[cls(**parameters)])
    folder = os.getcwd()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        try:
            outcome = run(model, [lambda model: model.fit(X, CODES)])
        finally:
            os.chdir(folder)
    if outcome.error is not None:
        assert isinstance(outcome.error, (ValueError, TypeError)), repr(outcome.error)
        assert_names(outcome.error, [name])
        assert not hasattr(model, "coefs_")
