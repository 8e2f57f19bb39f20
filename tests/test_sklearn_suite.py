"""Tests of scikit-learn for its own MLP, as installed, run with the classes of torchmlp."""

import importlib.util
from pathlib import Path

import pytest

LEFT_OUT = {
    "test_gradient": "calls the private method _loss_grad_lbfgs; see test_backprop.py",
    "test_learning_rate_warmstart": "reads the private attribute _optimizer; see test_parity.py",
    "test_early_stopping_stratified": "matches the class codes; see test_early_stopping.py",
    "test_adaptive_learning_rate": "reads the private attribute _optimizer; see test_schedules.py",
}
_ITS_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
_OUR_IMPORT = (
    "from torchmlp import TorchMLPClassifier as MLPClassifier, TorchMLPRegressor as MLPRegressor"
)

_package = importlib.util.find_spec("sklearn.neural_network").submodule_search_locations[0]
_path = Path(_package) / "tests" / "test_mlp.py"
_source = _path.read_text(encoding="utf-8")
assert _source.count(_ITS_IMPORT) == 1
exec(compile(_source.replace(_ITS_IMPORT, _OUR_IMPORT), str(_path), "exec"), globals())
for _name in LEFT_OUT:
    del globals()[_name]

# scikit-learn runs its own tests without turning warnings into errors.
pytestmark = pytest.mark.filterwarnings("default")
