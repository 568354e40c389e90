"""Classes of images, and of their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sbn_runtime.errors import ConfigError

from .base import Array, Metric, Objective
from .metrics import accuracy, balanced_accuracy, intersection_over_union

if TYPE_CHECKING:
    from torch import Tensor

ACCURACY = Metric("accuracy", "accuracy", "share")
NLL = Metric("nll", "negative log-likelihood", better="lower")
BALANCED = Metric("balanced_accuracy", "balanced accuracy", "share")


class Classification(Objective):
    """Integers [N], and cross-entropy."""

    name = "classification"
    metrics: tuple[Metric, ...] = (ACCURACY, BALANCED, NLL)
    smoothed = True
    weighted = True

    def targets(self, y: Array, inputs: tuple[int, ...], name: str) -> Array:
        if y.dtype.kind not in "iu" or y.shape != (inputs[0],):
            raise self._wrong(y, name, f"integers [{inputs[0]}], one class for each input")
        return _classes(y, name)

    def outputs(self, targets: Array, classes: int) -> tuple[int, ...]:
        return (classes,)

    def loss(
        self, output: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None = None
    ) -> Tensor:
        import torch.nn.functional as F

        return F.cross_entropy(output, targets, weight=weights, label_smoothing=smoothing)

    def distance(self, output: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """T^2 KL(teacher, network) at temperature T, mean over images and pixels."""
        import torch.nn.functional as F

        found, target = (
            (logits / temperature).log_softmax(1).movedim(1, -1).flatten(0, -2)
            for logits in (output, wanted)
        )
        divergence = F.kl_div(found, target, log_target=True, reduction="batchmean")
        return temperature**2 * divergence

    def hits(self, output: Tensor, targets: Tensor) -> Tensor | None:
        return (output.argmax(1) == targets).sum()

    def scores(self, answer: Array, targets: Array) -> dict[str, float]:
        of_true = np.take_along_axis(answer, targets[:, np.newaxis], axis=1)
        losses = -np.log(np.maximum(of_true, np.finfo(np.float32).tiny), dtype=np.float64)
        predicted = answer.argmax(axis=1)
        return {
            ACCURACY.key: accuracy(predicted, targets),
            BALANCED.key: balanced_accuracy(predicted, targets),
            NLL.key: float(losses.mean()),
        }


MIOU = Metric("miou", "mean intersection over union (mIoU)", "share")
PIXELS = Metric("pixel_accuracy", "pixel accuracy", "share")


class Segmentation(Classification):
    """Integers [N, H, W], and cross-entropy of each pixel.

    mIoU is the mean over the classes that occur in the answers or the truth.
    """

    name = "segmentation"
    metrics = (MIOU, PIXELS, NLL)
    sample_wise = False
    weighted = False

    def targets(self, y: Array, inputs: tuple[int, ...], name: str) -> Array:
        wanted = (inputs[0], *inputs[2:])
        if y.dtype.kind not in "iu" or len(inputs) != 4 or y.shape != wanted:
            raise self._wrong(y, name, f"integers {list(wanted)}, one class for each pixel")
        return _classes(y, name)

    def outputs(self, targets: Array, classes: int) -> tuple[int, ...]:
        return (classes, *targets.shape[1:])

    def hits(self, output: Tensor, targets: Tensor) -> Tensor | None:
        return (output.argmax(1) == targets).double().mean((1, 2)).sum()

    def scores(self, answer: Array, targets: Array) -> dict[str, float]:
        predicted = answer.argmax(axis=1)
        each = intersection_over_union(predicted, targets, answer.shape[1])
        return {
            MIOU.key: float(np.nanmean(each)),
            PIXELS.key: accuracy(predicted, targets),
            NLL.key: super().scores(answer, targets)[NLL.key],
        }


def _classes(y: Array, name: str) -> Array:
    classes = y.astype(np.int64)
    if classes.size and classes.min() < 0:
        raise ConfigError(f"{name}: a target is {classes.min()}; classes count from 0")
    return classes
