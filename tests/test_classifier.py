"""Tests for torchmlp.classifier."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from helpers import assert_identical, assert_same_weights, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier

X, y = iris()


@pytest.mark.parametrize("class_weight", [{0: 2.0, 1: 3.0, 2: 1.0}, "balanced"])
def test_class_weight_equals_repeated_rows(class_weight):
    counts, rows = {0: 2, 1: 3, 2: 1}, np.r_[0:10, 50:80, 100:150]
    if class_weight == "balanced":
        counts, rows = {0: 6, 1: 2, 2: 3}, rows[:60]  # 10, 30 and 20: weights 2, 2/3 and 1
    repeated = np.repeat(rows, [counts[label] for label in y[rows]])
    mlp = TorchMLPClassifier(random_state=0, max_iter=20, alpha=0.0)
    weighted = fit_quietly(clone(mlp).set_params(class_weight=class_weight), X[rows], y[rows])
    assert_same_weights(weighted, fit_quietly(clone(mlp), X[repeated], y[repeated]))


def test_class_weight_multiplies_sample_weight():
    weights = np.linspace(0.5, 2, 150)
    mlp = TorchMLPClassifier(random_state=0, max_iter=5)
    both = fit_quietly(clone(mlp).set_params(class_weight={0: 3.0}), X, y, weights)
    by_hand = fit_quietly(clone(mlp), X, y, weights * np.where(y == 0, 3.0, 1.0))
    assert_same_weights(both, by_hand)


@pytest.mark.parametrize(
    "kind", [np.uint8, np.int8, np.float16, np.float32, np.float64, Fraction, Decimal]
)
def test_class_weights_of_any_number_type(kind):
    mlp = TorchMLPClassifier((6,), max_iter=3, random_state=0)
    weights = {0: kind(1), 1: kind(200 if kind is np.uint8 else 100), 2: kind(3)}
    got = fit_quietly(clone(mlp).set_params(class_weight=weights), X, y)
    plain = {label: float(weight) for label, weight in weights.items()}
    assert_identical(fit_quietly(mlp.set_params(class_weight=plain), X, y), got)
