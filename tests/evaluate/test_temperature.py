"""Temperatures, and what they make of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from sbn_deploy.evaluate.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from sbn_deploy.evaluate.temperature import (
    RANGE,
    best_offsets,
    best_temperature,
    cross_calibrated,
)
from sbn_runtime.calibration import tempered


def answers(seed: int, count: int, true: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are right at the temperature `true`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, 5))
    exact = softmax(logits / true, axis=1)
    labels = (exact.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return softmax(logits, axis=1).astype(np.float32), labels


DEVIATION = 0.5
"""Of the logarithm of the temperature and of the offsets, beforehand."""


@given(st.integers(0, 2**32), st.floats(0.2, 5))
def test_best_temperature(seed: int, true: float) -> None:
    probabilities, labels = answers(seed, 200, true)

    def loss(logarithm: float) -> float:
        warmed = tempered(probabilities, float(np.exp(logarithm)))
        likelihood = negative_log_likelihood(warmed, labels).sum()
        return float(likelihood + (logarithm / DEVIATION) ** 2 / 2)

    expected = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    found = best_temperature(probabilities, labels)
    assert RANGE[0] <= found <= RANGE[1]
    assert loss(np.log(found)) == pytest.approx(expected.fun, abs=1e-4)


@given(st.integers(0, 2**32), st.sampled_from([20, 200]))
def test_best_offsets(seed: int, count: int) -> None:
    """Newton's method ends where an optimiser that knows no derivative does."""
    probabilities, labels = answers(seed, count, 1.5)
    logits = np.log(probabilities.astype(np.float64))

    def loss(parameters: np.ndarray) -> float:
        w, b = parameters[0], parameters[1:]
        likelihood = log_softmax(w * logits + b, axis=1)[np.arange(count), labels]
        return float(-likelihood.sum() + ((w - 1) ** 2 + (b**2).sum()) / DEVIATION**2 / 2)

    expected = minimize(loss, [1, 0, 0, 0, 0, 0], method="BFGS").x
    offsets = expected[1:] / expected[0]
    found = best_offsets(probabilities, labels)
    np.testing.assert_allclose(found, offsets - offsets.mean(), atol=1e-3)
    assert abs(found.sum()) < 1e-12


def test_offsets_are_found_again() -> None:
    """Classes that a model gives too rarely by a known factor."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    true = np.array([0.6, -0.2, -0.4, 0.0])
    exact = softmax((logits + true) / 0.8, axis=1)
    labels = (exact.cumsum(axis=1) > rng.random((len(logits), 1))).argmax(axis=1)
    found = best_offsets(softmax(logits, axis=1), labels)
    np.testing.assert_allclose(found, true, atol=0.08)
    temperature = best_temperature(softmax(logits, axis=1), labels, found)
    assert temperature == pytest.approx(0.8, rel=0.05)


def test_a_few_images_change_little() -> None:
    """Three images, all right, prove no certainty."""
    sure = np.tile(np.float32([0.9, 0.1]), (3, 1))
    assert 0.75 < best_temperature(sure, np.zeros(3, np.int64)) < 1
    assert np.abs(best_offsets(sure, np.zeros(3, np.int64))).max() < 0.1


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_it_is_found_again(true: float) -> None:
    probabilities, labels = answers(0, 20_000, true)
    calibrated, temperature = cross_calibrated(probabilities, labels)
    assert temperature == pytest.approx(true, rel=0.05)
    correct = calibrated.argmax(axis=1) == labels
    assert expected_calibration_error(reliability(calibrated.max(axis=1), correct)) < 0.015
    np.testing.assert_array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))


def test_certainty_stays_finite() -> None:
    sure = np.tile(np.float32([1, 0]), (4, 1))
    calibrated, temperature = cross_calibrated(sure, np.array([0, 0, 1, 1]))
    assert np.isfinite(negative_log_likelihood(calibrated, np.ones(4, np.int64))).all()
    assert 1 < temperature <= RANGE[1]
