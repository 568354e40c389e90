"""Is the uncertainty high where the errors are? Risk against coverage, and out-of-distribution
detection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CURVE_POINTS = 200


def risk_coverage(
    confidence: NDArray[Any], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The error rate among the most confident images, by how many of them are answered.

    Args:
        confidence, correct: [N]. Images of equal confidence are answered together.

    Returns:
        coverage [P], rising to 1, the share of images answered, and risk [P], the share
        of errors among them; one point for each different confidence. Selective
        accuracy is 1 - risk.
    """
    order = np.argsort(-confidence, kind="stable")
    errors = np.cumsum(~correct[order])
    answered = np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)
    return answered[last] / len(order), errors[last] / answered[last]


def thinned(
    coverage: NDArray[np.float64], risk: NDArray[np.float64], points: int = CURVE_POINTS
) -> tuple[list[float], list[float]]:
    """At most `points` of a curve's points, evenly spaced, both ends among them."""
    chosen = np.unique(np.linspace(0, len(coverage) - 1, points).round().astype(np.int64))
    return coverage[chosen].tolist(), risk[chosen].tolist()


def area_under_risk_coverage(confidence: NDArray[Any], correct: NDArray[np.bool_]) -> float:
    """Mean risk over all coverages 1/N, 2/N, …, 1 (AURC); less is better, 0 to 1.

    Of images of equal confidence each order is equally probable.
    """
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    # With ties in random order, the expected number of errors among the first i images.
    per_group = np.bincount(group, weights=~correct) / sizes
    expected = np.cumsum(np.repeat(per_group, sizes))
    return float((expected / np.arange(1, len(correct) + 1)).mean())


def auroc(ood: NDArray[Any], own: NDArray[Any]) -> float:
    """Probability that an out-of-distribution image scores higher than another; ties count half.

    The area under the receiver operating characteristic: 0.5 for a useless score, 1 for
    one that separates the two.
    """
    ordered = np.sort(own)
    below = np.searchsorted(ordered, ood, side="left")
    up_to = np.searchsorted(ordered, ood, side="right")
    return float((below + up_to).mean() / (2 * len(own)))
