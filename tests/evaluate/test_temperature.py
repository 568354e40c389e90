"""Temperatures, and what they make of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from sbn_deploy.evaluate.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from sbn_deploy.evaluate.temperature import (
    RANGE,
    at_temperature,
    best_temperature,
    cross_calibrated,
)


def answers(seed: int, count: int, true: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are right at the temperature `true`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, 5))
    exact = softmax(logits / true, axis=1)
    labels = (exact.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return softmax(logits, axis=1).astype(np.float32), labels


@given(st.integers(0, 2**32), st.floats(0.2, 5))
def test_best_temperature(seed: int, true: float) -> None:
    probabilities, labels = answers(seed, 200, true)

    def loss(logarithm: float) -> float:
        warmed = at_temperature(probabilities, float(np.exp(logarithm)))
        return float(negative_log_likelihood(warmed, labels).mean())

    expected = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    found = best_temperature(probabilities, labels)
    assert RANGE[0] <= found <= RANGE[1]
    assert loss(np.log(found)) == pytest.approx(expected.fun, abs=1e-5)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_it_is_found_again(true: float) -> None:
    probabilities, labels = answers(0, 20_000, true)
    calibrated, temperature = cross_calibrated(probabilities, labels)
    assert temperature == pytest.approx(true, rel=0.05)
    correct = calibrated.argmax(axis=1) == labels
    assert expected_calibration_error(reliability(calibrated.max(axis=1), correct)) < 0.015
    np.testing.assert_array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))


def test_temperature_one_changes_nothing() -> None:
    probabilities, _ = answers(0, 50, 1)
    np.testing.assert_allclose(at_temperature(probabilities, 1), probabilities, rtol=1e-5)


def test_certainty_stays_finite() -> None:
    sure = np.tile(np.float32([1, 0]), (4, 1))
    calibrated, temperature = cross_calibrated(sure, np.array([0, 0, 1, 1]))
    assert np.isfinite(negative_log_likelihood(calibrated, np.ones(4, np.int64))).all()
    assert temperature == pytest.approx(RANGE[1], rel=0.01)
