"""Prediction sets and intervals with a guarantee: split conformal prediction.

Scores say how badly a label fits an image. The scores of the true labels of n held-out images give
a quantile; the set of a new image contains the labels whose score is not above it. If the new image
comes from the same distribution, the true label is in its set with a probability of at least
`coverage`, whatever the network (Vovk et al. 2005; Angelopoulos and Bates 2023, section 1).

What follows is normative for every runtime; all numbers are float64:

- p are the calibrated probabilities of one image. Its classes are ranked by falling p, equal
  ones by their number; ranks count from 1.
- The score of the class of rank 1 is 0, so that no set is empty. Of another class k with rank r:
  "lac" (Sadinle et al. 2019)  1 - p_k;
  "aps" (Romano et al. 2020)  the p of ranks 1 to r - 1, added in this order, plus u p_k;
  "raps" (Angelopoulos et al. 2021)  that of "aps" plus 0.01 max(0, r - 2).
- u in [0, 1) is `uniform` of the image's input, the first where a model has several, so that sets
  depend on nothing but the image.
- The quantile at a coverage c is the k-th smallest score of n, k = ceil((n + 1) c - 1e-9); where
  k is above n there is none. A label whose score equals the quantile is in the set.
- "class-conditional" has a quantile for each class, of the "lac" scores of that class's images
  alone (Vovk 2012): each class has the coverage by itself.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAC, APS, RAPS, CLASS_CONDITIONAL = METHODS = ("lac", "aps", "raps", "class-conditional")
_PENALTY, _FREE = 0.01, 2
_MULTIPLIER = 16777619


def needed(coverage: float) -> int:
    """The fewest images n of which a quantile at `coverage` can be taken: ceil((n + 1) c) <= n."""
    return ceil(coverage / (1 - coverage) - 1e-9)


def quantile(scores: NDArray[np.float64], coverage: float) -> NDArray[np.float64] | None:
    """The k-th smallest along the first axis of n, k = ceil((n + 1) coverage - 1e-9).

    Args:
        scores: float64 [n, ...].
        coverage: above 0 and below 1.

    Returns:
        float64 [...]; None if k is above n: so few images cannot give that coverage.
    """
    count = len(scores)
    k = ceil((count + 1) * coverage - 1e-9)
    if k > count:
        return None
    found: NDArray[np.float64] = np.asarray(np.sort(scores, axis=0)[k - 1])
    return found


def scores(
    probabilities: NDArray[np.float64], method: str, u: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How badly each class fits, float64 [N, K]; see the module.

    Args:
        probabilities: float64 [N, K].
        method: one of `METHODS`; "class-conditional" has the scores of "lac".
        u: float64 [N] in [0, 1), for "aps" and "raps".
    """
    p = np.asarray(probabilities, np.float64)
    order = np.argsort(-p, axis=1, kind="stable")
    if method in (LAC, CLASS_CONDITIONAL):
        found = 1 - p
    else:
        assert u is not None
        ranked = np.take_along_axis(p, order, axis=1)
        # Added one by one, as a loop would.
        before = np.zeros_like(ranked)
        np.cumsum(ranked[:, :-1], axis=1, out=before[:, 1:])
        badness = before + u[:, np.newaxis] * ranked
        if method == RAPS:
            ranks = np.arange(1, p.shape[1] + 1)
            badness = badness + _PENALTY * np.maximum(0, ranks - _FREE)
        found = np.empty_like(p)
        np.put_along_axis(found, order, badness, axis=1)
    np.put_along_axis(found, order[:, :1], 0.0, axis=1)
    return found


def uniform(x: NDArray[Any]) -> NDArray[np.float64]:
    """A number in [0, 1) for each input, float64 [N], which depends on its bits alone.

    With w the elements of one input in C order, float32 as their bits after -0.0 has become 0.0
    and other integers as they are, all arithmetic on uint32 and modulo 2^32:
    h = 0; for each w: h = 16777619 h + (w ^ (w >> 16)); then the finaliser of MurmurHash3:
    h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35; h ^= h >> 16. u = h / 2^32.

    Args:
        x: uint8 or float32 [N, ...], what the model is given.
    """
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    if flat.dtype == np.float32:
        words = (flat + np.float32(0)).view(np.uint32)
    else:
        words = flat.astype(np.uint32)
    # Horner's rule as one product: the powers of the multiplier, the highest first.
    powers = np.full(words.shape[1], _MULTIPLIER, np.uint32)
    powers[0] = 1
    powers = np.cumprod(powers, dtype=np.uint32)[::-1]
    h = ((words ^ (words >> np.uint32(16))) * powers).sum(axis=1, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    found: NDArray[np.float64] = h / 2.0**32
    return found
