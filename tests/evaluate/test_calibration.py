"""Calibration figures against plain definitions and known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from sbn_deploy.evaluate.calibration import (
    BINS,
    ece_change,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    squared_distances,
)
from sbn_deploy.records.evaluation import ReliabilityBin


def answers(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    return probabilities, rng.integers(0, classes, count)


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(squared_distances(probabilities, labels).mean())


def diagram_of(probabilities: np.ndarray, labels: np.ndarray) -> list[ReliabilityBin]:
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 6))
def test_against_definitions(seed: int, count: int, classes: int) -> None:
    probabilities, labels = answers(seed, count, classes)
    exact = probabilities.astype(np.float64)
    truth = np.eye(classes)[labels]
    assert brier(probabilities, labels) == pytest.approx(((exact - truth) ** 2).sum(1).mean())
    losses = negative_log_likelihood(probabilities, labels)
    # A class of probability near 1 has a loss as small as what a float32 sum misses of 1,
    # which scikit-learn normalises: give both the normalised probabilities.
    assert losses == pytest.approx(-np.log(exact[np.arange(count), labels]), rel=1e-12)
    normal = exact / exact.sum(1, keepdims=True)
    expected = log_loss(labels, normal, labels=range(classes))
    assert negative_log_likelihood(normal, labels).mean() == pytest.approx(expected, rel=1e-5)

    diagram = diagram_of(probabilities, labels)
    confidence, right = exact.max(axis=1), probabilities.argmax(axis=1) == labels
    error = 0.0
    for number, entry in enumerate(diagram):
        assert (entry.low, entry.high) == (number / BINS, (number + 1) / BINS)
        inside = (confidence > entry.low) & (confidence <= entry.high)
        assert entry.count == inside.sum()
        if inside.any():
            assert entry.confidence == pytest.approx(confidence[inside].mean())
            assert entry.accuracy == pytest.approx(right[inside].mean())
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert sum(entry.count for entry in diagram) == count
    assert expected_calibration_error(diagram) == pytest.approx(error)
    assert 0 <= error <= 1


def test_brier_score_of_two_classes_is_twice_the_binary_one() -> None:
    probabilities, labels = answers(0, 100, 2)
    binary = brier_score_loss(labels, probabilities[:, 1])
    assert brier(probabilities, labels) == pytest.approx(2 * binary, rel=1e-5)


def test_known_values() -> None:
    labels = np.array([0, 0, 0, 1])
    sure = np.tile(np.float32([1, 0]), (4, 1))
    assert brier(sure, labels) == 0.5
    assert expected_calibration_error(diagram_of(sure, labels)) == 0.25
    honest = np.tile(np.float32([0.75, 0.25]), (4, 1))
    assert expected_calibration_error(diagram_of(honest, labels)) == 0
    assert negative_log_likelihood(honest, labels)[0] == pytest.approx(-np.log(0.75))
    assert np.isfinite(negative_log_likelihood(sure, labels)).all()


def test_probability_above_one_by_rounding() -> None:
    above = np.float32([[1.0000001, 0]])
    assert diagram_of(above, np.array([0]))[-1].count == 1


def test_change_of_calibration_error() -> None:
    # Right with probability 3/4, claimed as 3/4 and as certainty.
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) > 0.75).astype(np.int64)
    honest = np.tile(np.float32([0.75, 0.25]), (4000, 1))
    sure = np.tile(np.float32([1, 0]), (4000, 1))
    low, high = ece_change(honest, sure, labels)
    # No more than 1/4: where chance makes the honest model err, the other gains.
    assert 0.2 < low < high == pytest.approx(0.25)
    assert ece_change(sure, honest, labels) == pytest.approx((-high, -low))
    assert ece_change(sure, sure, labels) == (0, 0)
