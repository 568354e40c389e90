"""Any number of labels for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sbn_runtime.errors import ConfigError

from .base import Array, Metric, Objective
from .metrics import accuracy, average_precisions, f1_scores

if TYPE_CHECKING:
    from torch import Tensor

MAP = Metric("map", "mean average precision (mAP)", "share")
F1 = Metric("macro_f1", "F1, mean over labels", "share")
LABELS = Metric("label_accuracy", "accuracy of single labels", "share")


class Multilabel(Objective):
    """Zeros and ones [N, K], and binary cross-entropy.

    mAP is the mean over labels that hold at least once. Labels count as given from a
    probability of one half.
    """

    name = "multilabel"
    metrics = (MAP, F1, LABELS)

    def targets(self, y: Array, inputs: tuple[int, ...], name: str) -> Array:
        if y.dtype.kind not in "biu" or y.ndim != 2 or len(y) != inputs[0]:
            raise self._wrong(y, name, f"zeros and ones [{inputs[0]}, K]")
        if y.size and (y.min() < 0 or y.max() > 1):
            raise ConfigError(f"{name}: a target is {y.max()}; labels are 0 or 1")
        return y.astype(np.uint8)

    def outputs(self, targets: Array, classes: int) -> tuple[int, ...]:
        return (classes,)

    def loss(
        self, output: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None = None
    ) -> Tensor:
        import torch.nn.functional as F

        return F.binary_cross_entropy_with_logits(output, targets.to(output.dtype))

    def distance(self, output: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """T^2 times the cross-entropy with the teacher's probabilities, at temperature T."""
        import torch.nn.functional as F

        target = (wanted / temperature).sigmoid()
        return temperature**2 * F.binary_cross_entropy_with_logits(output / temperature, target)

    def hits(self, output: Tensor, targets: Tensor) -> Tensor | None:
        return ((output >= 0) == targets.bool()).double().mean(1).sum()

    def scores(self, answer: Array, targets: Array) -> dict[str, float]:
        truth = targets.astype(bool)
        predicted = answer >= 0.5
        precisions = average_precisions(answer, truth)
        return {
            MAP.key: float(np.nanmean(precisions)) if truth.any() else float("nan"),
            F1.key: float(f1_scores(predicted, truth).mean()),
            LABELS.key: accuracy(predicted, truth),
        }
