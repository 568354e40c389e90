"""Accuracy of a classifier on a test set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from sbn_runtime import InputError

BATCH = 256


@dataclass(frozen=True)
class Evaluation:
    """How well a model classifies.

    `low` and `high` bound the accuracy at 95 % confidence (Wilson's interval);
    `nll` is the mean negative log-likelihood of the true class, in nats, `brier` the
    Brier score, 0 to 2, `ece` the expected calibration error over 15 bins, 0 to 1.
    """

    samples: int
    correct: int
    accuracy: float
    low: float
    high: float
    nll: float
    brier: float
    ece: float


def evaluate(
    predict_proba: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Evaluation:
    """Classifies `x` in batches and compares with `labels`.

    Args:
        predict_proba: [N, ...] to probabilities [N, K].
        x: float32 [N, C, H, W], normalised.
        labels: int64 [N], 0 to K-1.

    Raises:
        InputError: there are no samples, or a label is no class of the model.
    """
    return score(classify(predict_proba, x), labels)


def classify(
    predict_proba: Callable[[NDArray[Any]], NDArray[np.float32]], x: NDArray[Any]
) -> NDArray[np.float32]:
    """Probabilities [N, K] of `x` [N, ...], computed in batches.

    Raises InputError if there are no samples.
    """
    if not len(x):
        raise InputError("there are no samples to evaluate on")
    parts = [predict_proba(x[start : start + BATCH]) for start in range(0, len(x), BATCH)]
    return np.concatenate(parts)


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Evaluation:
    """Compares probabilities [N, K], N at least 1, with labels [N].

    Raises InputError if a label is no class of the model.
    """
    check_labels(labels, probabilities.shape[1])
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    low, high = wilson_interval(correct, len(labels))
    return Evaluation(
        samples=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        low=low,
        high=high,
        nll=float(negative_log_likelihood(probabilities, labels).mean()),
        brier=brier_score(probabilities, labels),
        ece=expected_calibration_error(reliability(probabilities, labels)),
    )


def check_labels(labels: NDArray[np.int64], classes: int) -> None:
    """Raises InputError if a label is not from 0 to `classes` - 1."""
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"the data has labels {labels.min()} to {labels.max()},"
            f" but the model has {classes} classes"
        )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a proportion, within 0 to 1."""
    z = 1.959963984540054
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # Rounding must not push the share out of its own interval.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
