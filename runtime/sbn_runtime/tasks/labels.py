"""Any number of labels for each image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..uncertainty import Prediction, entropy
from .base import Array, Dims, Outputs, Task, average

THRESHOLD = 0.5


class Multilabel(Task):
    """[N, K]: each of K labels holds or does not. The sigmoid is averaged."""

    name = "multilabel"
    answer, rows, raw = "probabilities", "member_logits", "logits"
    activation = "sigmoid"
    wanted = "[N, K]"

    def fits(self, shape: Dims) -> bool:
        return len(shape) == 2

    def average(self, rows: NDArray[np.float32]) -> dict[str, Array]:
        return {self.rows: rows, self.answer: average(sigmoid(rows))}

    def predict(self, outputs: Outputs) -> NDArray[np.bool_]:
        """The labels of probability 0.5 or more, bool [N, K]."""
        labels: NDArray[np.bool_] = outputs[self.answer] >= THRESHOLD
        return labels

    def uncertainty(self, outputs: Outputs) -> Prediction:
        probabilities = outputs[self.answer]
        if self.rows in outputs:
            rows = sigmoid(outputs[self.rows])
        else:
            rows = probabilities[np.newaxis].astype(np.float64)
        label = self.predict(outputs)
        whole = _entropy(rows.mean(axis=0))
        own = _entropy(rows).mean(axis=0)
        return Prediction(
            label=label,
            probability=np.where(label, probabilities, 1 - probabilities),
            probabilities=probabilities,
            entropy=whole,
            mutual_information=np.clip(whole - own, 0.0, whole) * (len(rows) > 1),
            agreement=((rows >= THRESHOLD) == label).mean(axis=0),
        )


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), computed in float64 without overflow."""
    # The exponential of -|x| is at most 1.
    small = np.exp(-np.abs(np.asarray(logits, np.float64)))
    probabilities: NDArray[np.float64] = np.where(logits >= 0, 1.0, small) / (1 + small)
    return probabilities


def _entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return entropy(np.stack([probabilities, 1 - probabilities], axis=-1))
