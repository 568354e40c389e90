"""Numbers, and images made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..uncertainty import Estimate
from .base import STANDARD_DEVIATION, Array, Dims, Outputs, Task, average


class Regression(Task):
    """[N] or [N, ...]: numbers, averaged as they are."""

    name = "regression"
    answer, rows = "prediction", "member_predictions"
    spread = True
    wanted = "[N] or [N, ...]"

    def fits(self, shape: Dims) -> bool:
        return len(shape) >= 1

    def average(self, rows: NDArray[np.float32]) -> dict[str, Array]:
        spread = rows.std(axis=0, dtype=np.float64).astype(np.float32)
        return {self.rows: rows, self.answer: average(rows), STANDARD_DEVIATION: spread}

    def predict(self, outputs: Outputs) -> NDArray[np.float32]:
        """The mean over the rows, float32, of the shape of the network's output."""
        values: NDArray[np.float32] = outputs[self.answer]
        return values

    def uncertainty(self, outputs: Outputs) -> Estimate:
        values = self.predict(outputs)
        spread = outputs.get(STANDARD_DEVIATION)
        return Estimate(values, np.zeros_like(values) if spread is None else spread)


class ImageToImage(Regression):
    """[N, C, H, W]: an image made from an image, averaged as it is."""

    name = "image"
    answer, rows = "image", "member_images"
    wanted = "[N, C, H, W]"

    def fits(self, shape: Dims) -> bool:
        return len(shape) == 4
