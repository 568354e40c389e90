"""The uncertainty of answers from a distribution over networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """Answers to N images with their uncertainty; fields are arrays [N] unless stated.

    The rows of an answer are the class probabilities p_r of each network that was
    averaged: one for each member and each noise sample. H is the entropy in nats.

    Segmentation answers each pixel: [N, H, W] instead of [N], and `probabilities`
    [N, K, H, W]. Multi-label networks answer each label: [N, K], `label` is bool, and H
    is that of "holds or not", 0 to log 2.

    Of a calibrated file `label`, `probability`, `probabilities` and `entropy` are of the
    calibrated mean; the two fields that compare networks are of the rows as they are, so that
    mutual information may be above `entropy` there.

    Attributes:
        label: int64, the most probable class of the mean of the rows; -1 for an image that was
            refused as unknown.
        probability: float32, that class's probability in the mean.
        probabilities: float32 [N, K], the mean.
        entropy: float64, H(mean of p_r), the total uncertainty, 0 to log K.
        mutual_information: float64, H(mean of p_r) - mean of H(p_r), 0 to `entropy`:
            the part due to disagreement between rows. The rest is uncertainty that all of them
            share.
        agreement: float64, share of the rows whose own most probable class is `label`.
    """

    label: NDArray[Any]
    probability: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    agreement: NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Numbers, and how far the averaged networks disagree.

    Attributes:
        mean: float32 [N, ...], over members and noise samples.
        standard_deviation: float32 [N, ...], of them around `mean` (divided by their
            number, not one less); 0 for a single network.
    """

    mean: NDArray[np.float32]
    standard_deviation: NDArray[np.float32]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis, computed in float64."""
    # In C order, so that the order of additions does not depend on where logits come from.
    shifted = np.ascontiguousarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    probabilities: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def mean_probabilities(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean over rows [R, N, K], added in float64 in the order of the rows."""
    mean: NDArray[np.float32] = rows.mean(axis=0).astype(np.float32)
    return mean


def entropy(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Entropy along the last axis in nats, float64; 0 log 0 is 0."""
    p = np.asarray(probabilities, np.float64)
    logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)
    nats: NDArray[np.float64] = np.maximum(0.0, -(p * logarithm).sum(axis=-1))
    return nats


def averaged(rows: NDArray[np.float64]) -> Prediction:
    """What rows [R, N, K] and their mean say."""
    return summarize(rows, mean_probabilities(rows))


def summarize(
    rows: NDArray[np.float64],
    probabilities: NDArray[np.float32],
    calibrated: NDArray[np.float64] | None = None,
) -> Prediction:
    """What rows [R, N, K, ...] and their mean [N, K, ...] say.

    Args:
        calibrated: what became of the mean, [N, K], where that is what `probabilities` are.
    """
    label: NDArray[np.int64] = probabilities.argmax(axis=1)
    whole = entropy(np.moveaxis(rows.mean(axis=0), 1, -1))
    # Row by row: `mean` would add in another order where there is one image only.
    own = np.cumsum(entropy(np.moveaxis(rows, 2, -1)), axis=0)[-1] / len(rows)
    # Rounding must not make a part larger than the whole, nor negative.
    contradiction = np.clip(whole - own, 0.0, whole) if len(rows) > 1 else np.zeros_like(whole)
    return Prediction(
        label=label,
        probability=np.take_along_axis(probabilities, label[:, np.newaxis], axis=1)[:, 0],
        probabilities=probabilities,
        entropy=whole if calibrated is None else entropy(calibrated),
        mutual_information=contradiction,
        agreement=(rows.argmax(axis=2) == label).mean(axis=0),
    )
