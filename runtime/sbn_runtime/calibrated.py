"""Answers of a calibrated classifier: probabilities, sets, and which images are unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import conformal, ood
from .calibration import Calibration
from .errors import InputError, ModelError
from .tasks import TASKS
from .tasks.classes import Classification
from .uncertainty import Prediction, softmax, summarize

UNKNOWN = -1
"""The label of a refused image."""
SHARE = 0.05
"""Of ordinary images, refused by reject="unknown"."""


@dataclass(frozen=True)
class PredictionSet:
    """For each of N images a set of labels that contains the true one with a stated probability.

    Attributes:
        labels: bool [N, K], which classes are in the set; at least the most probable one is.
        size: int64 [N], how many.
        probabilities: float32 [N, K], calibrated.
        coverage: the probability that the true label is in the set of an image from the same
            distribution as those of the calibration.
        method: how the sets were made, one of `sbn_runtime.conformal.METHODS`.
    """

    labels: NDArray[np.bool_]
    size: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    coverage: float
    method: str


@dataclass(frozen=True)
class Interval:
    """For each number an interval that contains the true one with a stated probability.

    Attributes:
        low, high: float64 [N, ...], of the shape of the answers.
        mean: float32 [N, ...], the answers.
        coverage: the probability that a true number is in its interval, for each of the numbers
            of an answer by itself, of an input that is drawn like those of the calibration.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float32]
    coverage: float


@dataclass(frozen=True)
class Answered:
    """What R networks answered to N images.

    Attributes:
        calibration: of the file.
        rows: float64 [R, N, K], probabilities of each network.
        logits: [R, N, K]; None where the file gives probabilities only.
        probabilities: float64 [N, K], calibrated.
    """

    calibration: Calibration
    rows: NDArray[np.float64]
    logits: NDArray[Any] | None
    probabilities: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        rows: NDArray[np.float64],
        logits: NDArray[Any] | None = None,
    ) -> Answered:
        """Calibrates the mean of the rows, added in float64 in their order.

        Raises ModelError for another number of classes than the calibration has.
        """
        _check_size(rows.shape[-1], len(calibration.offsets))
        probabilities = calibration.probabilities(rows.mean(axis=0), len(rows))
        return cls(calibration, rows, logits, probabilities)

    @property
    def networks(self) -> int:
        """How many networks were averaged."""
        return len(self.rows)

    def prediction(self) -> Prediction:
        """Label, probabilities and entropy are calibrated; the rest is of the networks."""
        return summarize(self.rows, self.probabilities.astype(np.float32), self.probabilities)

    def unknown(self, reject: str | float) -> NDArray[np.bool_]:
        """Which images are refused, bool [N]. Raises InputError; see `Session.predict`."""
        share = SHARE if reject == "unknown" else reject
        if isinstance(share, str):
            raise InputError(f'reject must be "unknown" or a share of images, not {reject!r}')
        threshold = self.calibration.threshold(share, self.networks)
        known = self.calibration.unknown
        assert known is not None
        if known.score == ood.ENERGY and self.logits is None:
            raise ModelError(
                "the model has no logits, which its score of unknown images needs; calibrate it"
                " again with `sbn calibrate`"
            )
        refused: NDArray[np.bool_] = ood.score(known.score, self.rows, self.logits) > threshold
        return refused

    def sets(self, x: NDArray[Any], coverage: float, method: str) -> PredictionSet:
        """The sets of the images whose input is `x`. Raises InputError."""
        u = np.zeros(len(self.probabilities))
        if method in (conformal.APS, conformal.RAPS):
            u = conformal.uniform(x)
        labels = self.calibration.prediction_sets(
            self.probabilities, self.networks, coverage, method, u
        )
        return PredictionSet(
            labels,
            labels.sum(axis=1),
            self.probabilities.astype(np.float32),
            float(coverage),
            method,
        )


def network_rows(
    outputs: Mapping[str, NDArray[Any]],
) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
    """Probabilities [R, N, K] of each network, and its logits, of the outputs of a classifier.

    In float64 of the logits where the file gives them, else as it gives probabilities.
    """
    task = TASKS[Classification.name]
    if task.rows in outputs:
        logits = outputs[task.rows]
    elif task.raw in outputs and outputs[task.raw].shape == outputs[task.answer].shape:
        logits = outputs[task.raw][np.newaxis]
    else:
        return outputs[task.answer][np.newaxis].astype(np.float64), None
    return softmax(logits), logits


def refused(prediction: Prediction, unknown: NDArray[np.bool_]) -> Prediction:
    """The same with the label -1 where an image is unknown."""
    return replace(prediction, label=np.where(unknown, UNKNOWN, prediction.label))


def intervals(
    calibration: Calibration, mean: NDArray[np.float32], networks: int, coverage: float
) -> Interval:
    """The intervals around answers [N, ...] of a regression. Raises InputError, ModelError."""
    assert calibration.intervals is not None
    level = calibration.level(coverage)
    half = calibration.at(calibration.intervals, networks)[level]
    around = mean.reshape(len(mean), -1).astype(np.float64)
    _check_size(around.shape[1], len(half))
    low, high = ((around + sign * half).reshape(mean.shape) for sign in (-1, 1))
    return Interval(low, high, mean, float(coverage))


def _check_size(answers: int, calibrated: int) -> None:
    if answers != calibrated:
        raise ModelError(
            f"the model answers with {answers} numbers, but its calibration is for {calibrated};"
            " calibrate it again with `sbn calibrate`"
        )
