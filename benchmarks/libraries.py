"""Libraries: for each library and dtype, a function that fits a problem once."""

import contextlib
import importlib.util
import io
import warnings
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

# Learning rate of all libraries, and Nesterov momentum of SGD.
RATE, MOMENTUM = 1e-3, 0.9


def synchronize(device):
    """Wait until the device has completed all operations."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _mlp(pair, problem, X, **extra):
    estimator = pair[problem.kind == "regression"]
    lbfgs = problem.solver == "lbfgs"
    model = estimator(
        hidden_layer_sizes=problem.hidden,
        solver=problem.solver,
        batch_size="auto" if lbfgs else problem.batch_size(X.shape[0]),
        learning_rate_init=RATE,
        momentum=MOMENTUM,
        max_iter=problem.epochs,
        tol=1e-10 if lbfgs else 0.0,
        n_iter_no_change=problem.epochs + 1,
        random_state=0,
        **extra,
    )

    def fit(X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # max_iter is reached on purpose
            return model.fit(X, y)

    return fit


def scikit_learn(problem, X, device):
    return _mlp((MLPClassifier, MLPRegressor), problem, X)


def torchmlp(problem, X, device, dtype=None):
    """Fit in the given dtype, by default that of X. On a GPU, "auto" would select float32."""
    pair = TorchMLPClassifier, TorchMLPRegressor
    dtype = X.dtype.name if dtype is None else dtype
    return _mlp(pair, problem, X, device=device, dtype=dtype)


def _module(problem, n_features, n_outputs):
    units = (n_features, *problem.hidden, n_outputs)
    layers = []
    for fan_in, fan_out in pairwise(units):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _targets(problem, y):
    """Return y in the format of the torch loss, the number of outputs, and the loss class."""
    if problem.kind == "regression":
        return y.reshape(-1, 1).astype(np.float32), 1, nn.MSELoss
    if problem.kind == "multilabel":
        return y.astype(np.float32), y.shape[1], nn.BCEWithLogitsLoss
    return y.astype(np.int64), len(np.unique(y)), nn.CrossEntropyLoss


def _optimizer(problem):
    if problem.solver == "adam":
        return torch.optim.Adam, {"lr": RATE, "fused": True, "weight_decay": 1e-4}
    options = {"lr": RATE, "momentum": MOMENTUM, "nesterov": True, "weight_decay": 1e-4}
    return torch.optim.SGD, options


def plain_torch(problem, X, device):
    """Train in a loop as in the tutorials of torch, with data in memory and a fused optimizer."""

    def fit(X, y):
        torch.manual_seed(0)
        y, n_outputs, criterion = _targets(problem, y)
        loss = criterion()
        module = _module(problem, X.shape[1], n_outputs).to(device)
        optimizer, options = _optimizer(problem)
        solver = optimizer(module.parameters(), **options)
        dense = not sp.issparse(X)
        rows = torch.from_numpy(X).to(device) if dense else X
        targets = torch.from_numpy(y).to(device)
        batch_size = problem.batch_size(X.shape[0])
        for _ in range(problem.epochs):
            order = torch.randperm(X.shape[0], device=device)
            for index in order.split(batch_size):
                inputs = rows[index] if dense else _dense_rows(X, index)
                solver.zero_grad()
                loss(module(inputs), targets[index]).backward()
                solver.step()
        synchronize(device)

    return fit


def _dense_rows(X, index):
    return torch.from_numpy(X[index.cpu().numpy()].toarray()).to(index.device)


def _skorch(problem, device, batch_size):
    def fit(X, y):
        torch.manual_seed(0)
        y, n_outputs, criterion = _targets(problem, y)
        wrapper = NeuralNetClassifier if problem.kind == "classification" else NeuralNetRegressor
        optimizer, options = _optimizer(problem)
        net = wrapper(
            _module(problem, X.shape[1], n_outputs),
            criterion=criterion,
            optimizer=optimizer,
            **{f"optimizer__{name}": value for name, value in options.items()},
            max_epochs=problem.epochs,
            verbose=0,
            device=device,
            train_split=None,
            **batch_size,
        )
        net.fit(X, y)
        synchronize(device)

    return fit


def skorch(problem, X, device):
    """Fit skorch with the batch size of the problem."""
    batch_size = {"batch_size": problem.batch_size(X.shape[0]), "iterator_train__shuffle": True}
    return _skorch(problem, device, batch_size)


def skorch_defaults(problem, X, device):
    """Fit skorch with its default batches of 128 rows, without shuffling.

    The number of epochs is the same, so the number of steps differs unless the batch size of the
    problem is 128. The times are then not directly comparable.
    """
    return _skorch(problem, device, {})


def pytabkit(problem, X, device):
    """Fit the plain MLP of pytabkit, which uses skorch, with the parameters of the problem.

    Quantile transforms, dropout, early stopping and checkpoints, which are enabled by default, are
    disabled. It requires validation data, so two rows are passed. Only Adam is supported, since
    SGD in pytabkit has no momentum.
    """
    from pytabkit import MLP_RTDL_D_Classifier, MLP_RTDL_D_Regressor

    estimator = MLP_RTDL_D_Classifier if problem.kind == "classification" else MLP_RTDL_D_Regressor
    model = estimator(
        module_d_layers=list(problem.hidden),
        module_n_layers=len(problem.hidden),
        module_dropout=0.0,
        max_epochs=problem.epochs,
        batch_size=problem.batch_size(X.shape[0]),
        optimizer="adam",
        lr=RATE,
        optimizer_weight_decay=1e-4,
        es_patience=problem.epochs + 1,
        use_checkpoints=False,
        transformed_target=False,
        tfms=[],
        device=device,
        n_threads=torch.get_num_threads(),
        random_state=0,
        verbose=0,
    )

    def fit(X, y):
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model.fit(X, y, X_val=X[:2], y_val=y[:2])
        synchronize(device)

    return fit


# name of the library and dtype -> (function, dtype)
LIBRARIES = {
    "scikit-learn f64": (scikit_learn, np.float64),
    "torchmlp f64": (torchmlp, np.float64),
    "scikit-learn f32": (scikit_learn, np.float32),
    "torchmlp f32": (torchmlp, np.float32),
    "plain torch f32": (plain_torch, np.float32),
    "skorch f32": (skorch, np.float32),
    "skorch defaults f32": (skorch_defaults, np.float32),
}
if importlib.util.find_spec("pytabkit"):
    LIBRARIES["pytabkit f32"] = (pytabkit, np.float32)


def supports(name, problem):
    """Return whether a library can fit the problem in reasonable time."""
    library, _ = LIBRARIES[name]
    if library is scikit_learn:
        return not problem.gpu_only
    if problem.solver == "lbfgs":
        return library is torchmlp
    if library is pytabkit and (problem.solver != "adam" or problem.kind == "multilabel"):
        return False
    # The datasets of skorch do not support rows of a CSR array, and pytabkit rejects them.
    return not (library in (skorch, skorch_defaults, pytabkit) and problem.sparse)
