"""Accuracy and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from sbn_deploy.measure.accuracy import BATCH, evaluate, wilson_interval
from sbn_runtime import InputError


@pytest.mark.parametrize("trials", [1, 2, 7, 360, 10_000])
def test_interval_is_wilsons(trials: int) -> None:
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        low, high = wilson_interval(successes, trials)
        expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert 0 <= low <= successes / trials <= high <= 1


def probabilities_of(x: np.ndarray) -> np.ndarray:
    """A model that reads its answer from the input."""
    rows: np.ndarray = x[:, 0, 0]
    return rows


def test_evaluates_in_batches() -> None:
    rng = np.random.default_rng(0)
    count = 2 * BATCH + 3
    x = rng.dirichlet(np.ones(4), count).astype(np.float32)[:, None, None]
    labels = rng.integers(0, 4, count)
    result = evaluate(probabilities_of, x, labels)
    rows = x[:, 0, 0].astype(np.float64)
    assert result.samples == count
    assert result.correct == int((rows.argmax(1) == labels).sum())
    assert result.accuracy == result.correct / count
    assert result.nll == pytest.approx(-np.log(rows[np.arange(count), labels]).mean())


def test_certainty_of_a_wrong_class_is_finite() -> None:
    x = np.array([[[[1, 0]]]], np.float32)
    result = evaluate(probabilities_of, x, np.array([1]))
    assert np.isfinite(result.nll)
    assert result.nll > 80


@pytest.mark.parametrize("label", [-1, 2])
def test_label_that_is_no_class(label: int) -> None:
    x = np.array([[[[1, 0]]]], np.float32)
    with pytest.raises(InputError, match="the model has 2 classes"):
        evaluate(probabilities_of, x, np.array([label]))


def test_no_samples() -> None:
    with pytest.raises(InputError, match="no samples"):
        evaluate(probabilities_of, np.empty((0, 1, 1, 2), np.float32), np.empty(0, np.int64))
