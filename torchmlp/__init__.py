"""Multilayer perceptrons with the API of scikit-learn, trained with PyTorch."""

from importlib.metadata import version

from torchmlp import joblib_backend as joblib_backend  # registers the backend
from torchmlp.classifier import TorchMLPClassifier
from torchmlp.regressor import TorchMLPRegressor
from torchmlp.tabular import tabular_pipeline

__all__ = ["TorchMLPClassifier", "TorchMLPRegressor", "tabular_pipeline"]
__version__ = version("torchmlp")
