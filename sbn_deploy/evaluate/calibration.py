"""Are probabilities calibrated? Brier score, calibration error, reliability diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.records.evaluation import ReliabilityBin

BINS = 15
RESAMPLES = 500


def negative_log_likelihood(
    probabilities: NDArray[Any], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """-log of the true class's probability, in nats, of each image [N].

    A probability of 0 counts as the smallest normal float32, so that it stays finite.
    """
    likelihood = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(likelihood.clip(min=np.finfo(np.float32).tiny))
    return losses


def squared_distances(
    probabilities: NDArray[Any], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Squared distance of each image [N] between probabilities and the true class, 0 to 2.

    Σ_k (p_k - [k is the label])²; the mean is the score of Brier (1950).
    """
    difference = probabilities.astype(np.float64)
    difference[np.arange(len(labels)), labels] -= 1
    distances: NDArray[np.float64] = (difference**2).sum(axis=1)
    return distances


def reliability(
    confidence: NDArray[Any], correct: NDArray[np.bool_], *, bins: int = BINS
) -> list[ReliabilityBin]:
    """The reliability diagram: confidence and accuracy in bins of equal width.

    Confidence [N] is the probability of the most probable class; a confidence of 0
    counts to the first bin.
    """
    index = _bin_of(confidence, bins)
    counts = np.bincount(index, minlength=bins)
    means = [
        np.bincount(index, weights=values, minlength=bins) / np.maximum(counts, 1)
        for values in (confidence, correct)
    ]
    return [
        ReliabilityBin(
            low=i / bins,
            high=(i + 1) / bins,
            count=int(counts[i]),
            confidence=float(stated),
            accuracy=float(found),
        )
        for i, (stated, found) in enumerate(zip(*means, strict=True))
    ]


def expected_calibration_error(diagram: list[ReliabilityBin]) -> float:
    """Mean over images of |accuracy - confidence| of their bin, 0 to 1 (ECE)."""
    total = sum(entry.count for entry in diagram)
    return sum(entry.count * abs(entry.accuracy - entry.confidence) for entry in diagram) / total


def ece_change(
    first: NDArray[np.float32], second: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """95 % interval of the change in ECE from one model's answers [N, K] to another's.

    The bootstrap's percentiles over resampled images, the same ones for both models and
    in every call.
    """
    generator = np.random.default_rng(0)
    models = []
    for probabilities in (first, second):
        confidence = probabilities.max(axis=1).astype(np.float64)
        correct = probabilities.argmax(axis=1) == labels
        models.append((correct - confidence, _bin_of(confidence, BINS)))
    changes = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(0, len(labels), len(labels))
        before, after = (
            np.abs(np.bincount(index[chosen], weights=gap[chosen])).sum() / len(labels)
            for gap, index in models
        )
        changes.append(after - before)
    low, high = np.percentile(changes, [2.5, 97.5])
    return float(low), float(high)


def _bin_of(confidence: NDArray[Any], bins: int) -> NDArray[np.int64]:
    """The bin that each image [N] falls into."""
    exact = confidence.astype(np.float64)
    # Rounding may take a probability above 1.
    index: NDArray[np.int64] = np.clip(np.ceil(exact * bins).astype(np.int64) - 1, 0, bins - 1)
    return index
