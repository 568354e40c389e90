"""One class for each image, or for each of its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..uncertainty import Prediction, mean_probabilities, softmax, summarize
from .base import Array, Dims, Outputs, Task


class Classification(Task):
    """[N, K]: one of K classes. Softmax is averaged."""

    name = "classification"
    answer, rows, raw = "probabilities", "member_logits", "logits"
    activation = "softmax"
    wanted = "[N, K] with K of at least 2"
    rank = 2

    def fits(self, shape: Dims) -> bool:
        return len(shape) == self.rank and shape[1] != 1

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Softmax of logits [R, N, K, ...]."""
        return np.moveaxis(softmax(np.moveaxis(logits, 2, -1)), -1, 2)

    def average(self, rows: NDArray[np.float32]) -> dict[str, Array]:
        return {self.rows: rows, self.answer: mean_probabilities(self.probabilities(rows))}

    def predict(self, outputs: Outputs) -> NDArray[np.int64]:
        """The most probable class, int64 [N] or [N, H, W]."""
        labels: NDArray[np.int64] = outputs[self.answer].argmax(axis=1)
        return labels

    def uncertainty(self, outputs: Outputs) -> Prediction:
        probabilities = outputs[self.answer]
        if self.rows in outputs:
            rows = self.probabilities(outputs[self.rows])
        else:
            rows = probabilities[np.newaxis].astype(np.float64)
        return summarize(rows, probabilities)


class Segmentation(Classification):
    """[N, K, H, W]: one of K classes for each pixel. Softmax over K is averaged."""

    name = "segmentation"
    wanted = "[N, K, H, W] with K of at least 2"
    rank = 4
