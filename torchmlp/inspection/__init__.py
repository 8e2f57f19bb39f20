"""Displays of fitted networks and encoders, following scikit-learn's Display API."""

from torchmlp.inspection.animation import TrainingAnimation
from torchmlp.inspection.decision_region import DecisionRegionDisplay
from torchmlp.inspection.hidden_features import HiddenFeaturesDisplay
from torchmlp.inspection.loss_curve import LossCurveDisplay
from torchmlp.inspection.network import NetworkDisplay
from torchmlp.inspection.piecewise_linear_encoding import PiecewiseLinearEncodingDisplay
from torchmlp.inspection.weights import WeightsDisplay

__all__ = [
    "DecisionRegionDisplay",
    "HiddenFeaturesDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "PiecewiseLinearEncodingDisplay",
    "TrainingAnimation",
    "WeightsDisplay",
]
