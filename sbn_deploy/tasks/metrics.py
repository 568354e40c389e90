"""Metrics by their definitions, in numpy only, so that they run on devices too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def accuracy(predicted: Array, truth: Array) -> float:
    """Share of equal elements."""
    return float((predicted == truth).mean())


def balanced_accuracy(predicted: Array, truth: Array) -> float:
    """Mean over the classes that occur in the truth, of the share that is answered right."""
    right = np.bincount(truth.ravel(), weights=(predicted == truth).ravel())
    count = np.bincount(truth.ravel())
    return float((right[count > 0] / count[count > 0]).mean())


def f1_scores(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN) of each label [K], of labels [N, K]; 0 where all of them are 0."""
    hits = (predicted & truth).sum(axis=0)
    either = predicted.sum(axis=0) + truth.sum(axis=0)
    scores: NDArray[np.float64] = 2 * hits / np.maximum(either, 1)
    return scores


def average_precisions(scores: Array, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of each label [K]; NaN for a label that never holds.

    The sum over the distinct scores, from high to low, of precision times the gain in
    recall when everything from this score up is taken for a hit.

    Args:
        scores: [N, K], higher for a label that rather holds.
        truth: [N, K].
    """
    return np.array(
        [_average_precision(scores[:, k], truth[:, k]) for k in range(truth.shape[1])], np.float64
    )


def _average_precision(scores: Array, truth: NDArray[np.bool_]) -> float:
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    # Equal scores are taken together, at the last of them.
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(truth[order])[ends]
    gains = np.diff(hits, prepend=0)
    return float((hits / (ends + 1) * gains).sum() / hits[-1])


def intersection_over_union(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Pixels of a class in both maps by pixels in either, [K]; NaN for a class in neither.

    Args:
        predicted, truth: classes of the same pixels, any shape, 0 to `classes` - 1.
    """
    pairs = np.bincount(
        truth.ravel() * classes + predicted.ravel(), minlength=classes * classes
    ).reshape(classes, classes)
    both = np.diag(pairs)
    either = pairs.sum(axis=0) + pairs.sum(axis=1) - both
    return np.divide(both, either, out=np.full(classes, np.nan), where=either > 0)


def squared_error(predicted: Array, truth: Array) -> float:
    """Mean of (predicted - truth)² over all numbers, in float64."""
    return float(np.square(np.subtract(predicted, truth, dtype=np.float64)).mean())


def absolute_error(predicted: Array, truth: Array) -> float:
    """Mean of |predicted - truth| over all numbers, in float64."""
    return float(np.abs(np.subtract(predicted, truth, dtype=np.float64)).mean())


def determination(predicted: Array, truth: Array) -> float:
    """R²: 1 - Σ(predicted - truth)² / Σ(truth - mean)², averaged over outputs.

    NaN where an output does not vary.

    Args:
        predicted, truth: [N] or [N, ...]; the mean is over N.
    """
    wide = np.asarray(truth, np.float64).reshape(len(truth), -1)
    found = np.asarray(predicted, np.float64).reshape(len(truth), -1)
    rest = np.square(found - wide).sum(axis=0)
    spread = np.square(wide - wide.mean(axis=0)).sum(axis=0)
    shares = np.divide(rest, spread, out=np.full(len(rest), np.nan), where=spread > 0)
    return float((1 - shares).mean())


def peak_signal_to_noise(predicted: Array, truth: Array, peak: float) -> float:
    """PSNR in decibels, 10 log10(peak² / squared error), averaged over images [N, ...].

    Of an image without error it is taken at a squared error of 1e-10 peak², 100 dB.
    """
    difference = np.subtract(predicted, truth, dtype=np.float64).reshape(len(truth), -1)
    errors = np.square(difference).mean(axis=1) / peak**2
    return float((-10 * np.log10(np.maximum(errors, 1e-10))).mean())
