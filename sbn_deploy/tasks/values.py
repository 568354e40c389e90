"""Numbers, and images made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import Array, Metric, Objective, check_finite
from .metrics import absolute_error, determination, peak_signal_to_noise, squared_error

if TYPE_CHECKING:
    from torch import Tensor

RMSE = Metric("rmse", "root mean squared error (RMSE)", better="lower")
MAE = Metric("mae", "mean absolute error (MAE)", better="lower")
R2 = Metric("r2", "coefficient of determination (R²)")


class Regression(Objective):
    """Numbers [N] or [N, ...], and the squared error."""

    name = "regression"
    counts_hits = False
    metrics: tuple[Metric, ...] = (RMSE, MAE, R2)

    def targets(self, y: Array, inputs: tuple[int, ...], name: str) -> Array:
        if y.dtype.kind not in "fbiu" or y.ndim < 1 or len(y) != inputs[0]:
            raise self._wrong(y, name, f"numbers [{inputs[0]}] or [{inputs[0]}, …]")
        with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused
            targets = y.astype(np.float32)
        check_finite(targets, name)
        return targets

    def outputs(self, targets: Array, classes: int) -> tuple[int, ...]:
        return targets.shape[1:]

    def loss(
        self, output: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None = None
    ) -> Tensor:
        import torch.nn.functional as F

        return F.mse_loss(output.reshape(targets.shape), targets)

    def distance(self, output: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """The squared error; numbers have no temperature."""
        import torch.nn.functional as F

        return F.mse_loss(output.reshape(wanted.shape), wanted)

    def scores(self, answer: Array, targets: Array) -> dict[str, float]:
        found = answer.reshape(targets.shape)
        return {
            RMSE.key: float(np.sqrt(squared_error(found, targets))),
            MAE.key: absolute_error(found, targets),
            R2.key: determination(found, targets),
        }


PSNR = Metric("psnr", "peak signal-to-noise ratio (PSNR)", "decibel")


class ImageToImage(Regression):
    """Images [N, C, H, W], and the squared error.

    The peak of PSNR is the range of the targets, largest less smallest.
    """

    name = "image"
    metrics = (PSNR, RMSE)
    sample_wise = False

    def targets(self, y: Array, inputs: tuple[int, ...], name: str) -> Array:
        if y.dtype.kind != "f" or y.ndim != 4 or len(y) != inputs[0] or len(inputs) != 4:
            raise self._wrong(y, name, f"float images [{inputs[0]}, C, H, W]")
        return super().targets(y, inputs, name)

    def scores(self, answer: Array, targets: Array) -> dict[str, float]:
        peak = float(targets.max()) - float(targets.min())
        return {
            PSNR.key: peak_signal_to_noise(answer, targets, peak or 1.0),
            RMSE.key: float(np.sqrt(squared_error(answer, targets))),
        }
