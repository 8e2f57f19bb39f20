"""Uses of the public API that tests/test_typing.py checks with mypy.

A line with the comment ``error: CODE`` must have a type error with this code. There must be no
other error. The functions are not called.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
import torch
from matplotlib.axes import Axes

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Checkpoint, Snapshot, Snapshots, find_snapshots
from torchmlp.inspection import DecisionRegionDisplay, LossCurveDisplay, NetworkDisplay

X = np.zeros((4, 2))
y = np.array([0, 1, 0, 1])


def constructors() -> None:
    TorchMLPClassifier(max_iter="a")  # error: arg-type
    TorchMLPClassifier(max_iter=0.5)  # error: arg-type
    TorchMLPClassifier(hidden_layer_sizes="100")  # error: arg-type
    TorchMLPClassifier(alpha="0.1")  # error: arg-type
    TorchMLPClassifier(early_stopping="yes")  # error: arg-type
    TorchMLPClassifier(verbose="barr")  # error: arg-type
    TorchMLPClassifier(batch_size="all")  # error: arg-type
    TorchMLPClassifier(class_weight="equal")  # error: arg-type
    TorchMLPClassifier(n_epochs=3)  # error: call-arg
    TorchMLPClassifier((10,), "relu", "adam")  # error: call-arg
    TorchMLPRegressor((10,))  # error: arg-type
    TorchMLPRegressor(quantile="0.5")  # error: arg-type
    TorchMLPRegressor(normalize_y="yes")  # error: arg-type
    TorchMLPClassifier(normalize_y=True)  # error: call-arg
    TorchMLPClassifier(
        (50, 20), ["gelu", torch.sin], solver=torch.optim.RMSprop, class_weight={0: 1.0, 1: 2.0}
    )
    TorchMLPClassifier(10, max_iter=np.int64(5), alpha=np.float32(0.1), n_iter_no_change=np.inf)
    TorchMLPRegressor(lambda raw, y: ((raw - y) ** 2).sum(dim=1), device=torch.device("cpu"))
    TorchMLPRegressor("quantile", quantile=[0.1, 0.9]).set_params(quantile=np.array([0.1]))
    TorchMLPRegressor("quantile", quantile=["0.1"])  # error: list-item
    TorchMLPClassifier(loss=lambda raw, y: torch.nn.functional.cross_entropy(raw, y))
    TorchMLPClassifier(loss=3)  # error: arg-type
    TorchMLPRegressor(random_state=np.random.RandomState(0), verbose="bar", callbacks=[Snapshots()])
    TorchMLPClassifier(callbacks=[Checkpoint(Path("fit.ckpt"), every_seconds=0.5, keep=2)])
    Checkpoint("fit.ckpt", every="2")  # error: arg-type
    Checkpoint("fit.ckpt", 2)  # error: call-arg


def methods(clf: TorchMLPClassifier, reg: TorchMLPRegressor) -> None:
    assert_type(TorchMLPClassifier().fit(X, y), TorchMLPClassifier)
    assert_type(TorchMLPRegressor().fit(X.tolist(), y, X_val=X, y_val=y), TorchMLPRegressor)
    clf.fit(sp.csr_array(X), y).fit(torch.zeros(4, 2), y).fit(pl.DataFrame({"a": [1.0]}), [1])
    clf.fit(X)  # error: call-arg
    clf.fit(X, y, weights=y)  # error: call-arg
    assert_type(clf.partial_fit(X, y, classes=[0, 1]), TorchMLPClassifier)
    assert_type(reg.partial_fit(X, y, y), TorchMLPRegressor)
    reg.partial_fit(X, y, classes=[0, 1])  # error: call-arg
    assert_type(clf.predict(X), npt.NDArray[Any])
    assert_type(reg.predict(X), npt.NDArray[Any])
    assert_type(reg.predict(X, return_std=True), tuple[npt.NDArray[Any], npt.NDArray[Any]])
    clf.predict(X, return_std=True)  # error: call-arg
    assert_type(clf.predict_proba(X), npt.NDArray[np.floating])
    assert_type(clf.predict_log_proba(X), npt.NDArray[np.floating])
    assert_type(clf.predict_logits(X), npt.NDArray[np.floating])
    assert_type(clf.decision_function(X), npt.NDArray[np.floating])
    assert_type(clf.hidden_activations(X), list[npt.NDArray[np.floating]])
    assert_type(clf.score(X, y), float)
    assert_type(clf.to_torch(output="logits"), torch.nn.Sequential)
    clf.to_torch(output="logit")  # error: arg-type
    assert_type(TorchMLPClassifier.from_sklearn(clf.to_sklearn()), TorchMLPClassifier)


def fitted_attributes(clf: TorchMLPClassifier) -> None:
    assert_type(clf.classes_, npt.NDArray[Any])
    assert_type(clf.coefs_, list[npt.NDArray[np.floating]])
    assert_type(clf.loss_curve_, list[float])
    assert_type(clf.n_iter_, int)


def callbacks_and_displays(clf: TorchMLPClassifier, ax: Axes) -> None:
    assert_type(find_snapshots(clf), list[Snapshot])
    assert_type(find_snapshots(clf)[0].epoch, int)
    Snapshots(every="two")  # error: arg-type
    assert_type(LossCurveDisplay.from_estimator({"a": clf}), LossCurveDisplay)
    LossCurveDisplay.from_estimator(clf).plot(yscale="logarithmic")  # error: arg-type
    DecisionRegionDisplay.from_estimator(clf, X, ax=ax, grid_resolution="high")  # error: arg-type
    NetworkDisplay.from_estimator(clf, feature_names=["a", "b"], ax=ax)
