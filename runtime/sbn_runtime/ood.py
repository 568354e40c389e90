"""Scores of how unlike the training images an image is; higher is more unusual.

Of the logits z_r and probabilities p_r of each network that was averaged, float64:

- "entropy": of the mean of the p_r, in nats;
- "mutual_information": that entropy minus the mean of the entropies of the p_r;
- "disagreement": share of the networks whose most probable class is not that of the mean;
- "energy" (Liu et al. 2020): the mean of -log Σ_k exp z_r,k. It needs logits.

None of them depends on temperature or offsets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .uncertainty import entropy

ENTROPY, MUTUAL_INFORMATION, DISAGREEMENT, ENERGY = SCORES = (
    "entropy",
    "mutual_information",
    "disagreement",
    "energy",
)


def score(name: str, rows: NDArray[np.float64], logits: NDArray[Any] | None) -> NDArray[np.float64]:
    """A score of each image, float64 [N].

    Args:
        name: one of `SCORES`.
        rows: probabilities float64 [R, N, K] of R networks.
        logits: [R, N, K]; needed for "energy" only.
    """
    if name == ENERGY:
        assert logits is not None
        z = np.asarray(logits, np.float64)
        top = z.max(axis=2, keepdims=True)
        sums = np.log(np.exp(z - top).sum(axis=2)) + top[:, :, 0]
        found: NDArray[np.float64] = -(sums.mean(axis=0))
        return found
    mean = rows.mean(axis=0)
    if name == ENTROPY:
        return entropy(mean)
    if name == MUTUAL_INFORMATION:
        difference: NDArray[np.float64] = entropy(mean) - entropy(rows).mean(axis=0)
        return difference
    other: NDArray[np.float64] = (rows.argmax(axis=2) != mean.argmax(axis=1)).mean(axis=0)
    return other
