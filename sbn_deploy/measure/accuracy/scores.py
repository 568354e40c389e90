"""Accuracy of a classifier on a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.measure.accuracy.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    squared_distances,
)
from sbn_runtime import InputError

BATCH = 256
# With fewer classes, the true one is among the five most probable too easily.
TOP5_CLASSES = 20


@dataclass(frozen=True)
class Evaluation:
    """How well a model classifies.

    `low` and `high` bound the accuracy at 95 % confidence (Wilson's interval);
    `top5` is the share of images whose true class is among the five most probable ones,
    with its interval, None with fewer than 20 classes;
    `nll` is the mean negative log-likelihood of the true class, in nats, `brier` the
    Brier score, 0 to 2, `ece` the expected calibration error over 15 bins, 0 to 1.
    """

    samples: int
    correct: int
    accuracy: float
    low: float
    high: float
    top5: float | None
    top5_low: float | None
    top5_high: float | None
    nll: float
    brier: float
    ece: float


@dataclass(frozen=True)
class Answers:
    """What is kept of the answers to N images, whatever the number of classes; arrays [N].

    Attributes:
        label: int64, the true class.
        predicted: int64, the most probable class, the first of several.
        rank: int64, classes that come before the true one, 0 for a right answer.
        confidence: float32, the probability of the predicted class.
        loss: float64, negative log-likelihood of the true class, nats.
        distance: float64, squared distance from the true class, 0 to 2.
    """

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    rank: NDArray[np.int64]
    confidence: NDArray[np.float32]
    loss: NDArray[np.float64]
    distance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def correct(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.predicted == self.label
        return right

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Answers:
        """Answers given as probabilities [N, K]; labels [N] are 0 to K-1."""
        of_true = probabilities[np.arange(len(labels)), labels][:, np.newaxis]
        # As argmax does, of equally probable classes the first one counts as more probable.
        earlier = np.arange(probabilities.shape[1]) < labels[:, np.newaxis]
        before = (probabilities > of_true) | ((probabilities == of_true) & earlier)
        return cls(
            label=labels,
            predicted=probabilities.argmax(axis=1),
            rank=before.sum(axis=1),
            confidence=probabilities.max(axis=1),
            loss=negative_log_likelihood(probabilities, labels),
            distance=squared_distances(probabilities, labels),
        )

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """The answers of all parts, at least one, in their order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def evaluate(
    predict_proba: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Evaluation:
    """Classifies `x` in batches and compares with `labels`.

    Args:
        predict_proba: [N, ...] to probabilities [N, K].
        x: float32 [N, C, H, W], normalised.
        labels: int64 [N], 0 to K-1.

    Raises:
        InputError: there are no samples, or a label is no class of the model.
    """
    return score(classify(predict_proba, x), labels)


def classify(
    predict_proba: Callable[[NDArray[Any]], NDArray[np.float32]], x: NDArray[Any]
) -> NDArray[np.float32]:
    """Probabilities [N, K] of `x` [N, ...], computed in batches.

    Raises InputError if there are no samples.
    """
    if not len(x):
        raise InputError("there are no samples to evaluate on")
    parts = [predict_proba(x[start : start + BATCH]) for start in range(0, len(x), BATCH)]
    return np.concatenate(parts)


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Evaluation:
    """Compares probabilities [N, K], N at least 1, with labels [N].

    Raises InputError if a label is no class of the model.
    """
    classes = probabilities.shape[1]
    check_labels(labels, classes)
    return summary(Answers.of(probabilities, labels), classes)


def summary(answers: Answers, classes: int) -> Evaluation:
    """How well at least one image of so many classes was answered."""
    count, correct = len(answers), int(answers.correct.sum())
    low, high = wilson_interval(correct, count)
    top5, top5_low, top5_high = None, None, None
    if classes >= TOP5_CLASSES:
        among = int((answers.rank < 5).sum())
        top5 = among / count
        top5_low, top5_high = wilson_interval(among, count)
    return Evaluation(
        samples=count,
        correct=correct,
        accuracy=correct / count,
        low=low,
        high=high,
        top5=top5,
        top5_low=top5_low,
        top5_high=top5_high,
        nll=float(answers.loss.mean()),
        brier=float(answers.distance.mean()),
        ece=expected_calibration_error(reliability(answers.confidence, answers.correct)),
    )


def check_labels(labels: NDArray[np.int64], classes: int) -> None:
    """Raises InputError if a label is not from 0 to `classes` - 1."""
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"the data has labels {labels.min()} to {labels.max()},"
            f" but the model has {classes} classes"
        )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a proportion, within 0 to 1."""
    z = 1.959963984540054
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # Rounding must not push the share out of its own interval.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
