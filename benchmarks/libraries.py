"""Who fits: library and dtype -> a function that fits a problem once."""

import warnings
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn import functional

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

# Every library: Adam or SGD at this rate, with Nesterov's momentum where it is SGD.
RATE, MOMENTUM = 1e-3, 0.9


def _theirs_or_ours(pair, problem, X, **extra):
    estimator = pair[problem.kind == "number"]
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
            warnings.simplefilter("ignore")  # max_iter is reached: that is the point
            model.fit(X, y)

    return fit


def scikit_learn(problem, X, device):
    return _theirs_or_ours((MLPClassifier, MLPRegressor), problem, X)


def torchmlp(problem, X, device):
    return _theirs_or_ours((TorchMLPClassifier, TorchMLPRegressor), problem, X, device=device)


def _module(problem, n_features, n_outputs):
    units = (n_features, *problem.hidden, n_outputs)
    layers = []
    for fan_in, fan_out in pairwise(units):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _targets(problem, y):
    """Return y as torch's losses want it, the number of outputs, and the loss."""
    if problem.kind == "number":
        return y.reshape(-1, 1).astype(np.float32), 1, functional.mse_loss
    if problem.kind == "labels":
        loss = functional.binary_cross_entropy_with_logits
        return y.astype(np.float32), y.shape[1], loss
    return y.astype(np.int64), len(np.unique(y)), functional.cross_entropy


def _optimizer(problem):
    if problem.solver == "adam":
        return torch.optim.Adam, {"lr": RATE, "fused": True, "weight_decay": 1e-4}
    options = {"lr": RATE, "momentum": MOMENTUM, "nesterov": True, "weight_decay": 1e-4}
    return torch.optim.SGD, options


def plain_torch(problem, X, device):
    """Train in a loop as torch's tutorials have it: data in memory, a fused optimizer."""

    def fit(X, y):
        torch.manual_seed(0)
        y, n_outputs, loss = _targets(problem, y)
        module = _module(problem, X.shape[1], n_outputs).to(device)
        optimizer, options = _optimizer(problem)
        solver = optimizer(module.parameters(), **options)
        dense = not sp.issparse(X)
        rows = torch.from_numpy(X).to(device) if dense else X
        targets = torch.from_numpy(y).to(device)
        batch = problem.batch_size(X.shape[0])
        for _ in range(problem.epochs):
            order = torch.randperm(X.shape[0])
            for index in order.split(batch):
                chosen = rows[index] if dense else torch.from_numpy(X[index.numpy()].toarray())
                solver.zero_grad()
                loss(module(chosen), targets[index]).backward()
                solver.step()

    return fit


def _skorch(problem, device, batch_size):
    def fit(X, y):
        torch.manual_seed(0)
        y, n_outputs, _ = _targets(problem, y)
        wrapper = NeuralNetClassifier if problem.kind == "class" else NeuralNetRegressor
        optimizer, options = _optimizer(problem)
        net = wrapper(
            _module(problem, X.shape[1], n_outputs),
            criterion={
                "class": nn.CrossEntropyLoss,
                "labels": nn.BCEWithLogitsLoss,
                "number": nn.MSELoss,
            }[problem.kind],
            optimizer=optimizer,
            **{f"optimizer__{name}": value for name, value in options.items()},
            max_epochs=problem.epochs,
            verbose=0,
            device=device,
            train_split=None,
            **batch_size,
        )
        net.fit(X, y)

    return fit


def skorch(problem, X, device):
    """Skorch in the same batches."""
    batch_size = {"batch_size": problem.batch_size(X.shape[0]), "iterator_train__shuffle": True}
    return _skorch(problem, device, batch_size)


def skorch_defaults(problem, X, device):
    """Skorch in its own batches, of 128 rows in their order."""
    return _skorch(problem, device, {})


# column of the table -> (who, dtype)
LIBRARIES = {
    "scikit-learn f64": (scikit_learn, np.float64),
    "torchmlp f64": (torchmlp, np.float64),
    "scikit-learn f32": (scikit_learn, np.float32),
    "torchmlp f32": (torchmlp, np.float32),
    "plain torch f32": (plain_torch, np.float32),
    "skorch f32": (skorch, np.float32),
    "skorch defaults f32": (skorch_defaults, np.float32),
}


def takes_part(name, problem):
    """Whether a library can do the problem at all."""
    who, _ = LIBRARIES[name]
    if problem.solver == "lbfgs":
        return who in (scikit_learn, torchmlp)
    # skorch's datasets do not take rows of a csr array.
    return not (who in (skorch, skorch_defaults) and "sparse" in problem.name)
