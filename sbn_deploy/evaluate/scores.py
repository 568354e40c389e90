"""Accuracy of a classifier on a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.evaluate.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    squared_distances,
)
from sbn_deploy.records.evaluation import Scores
from sbn_runtime import InputError, Session

BATCH = 256
# With fewer classes, the true one is among the five most probable too easily.
TOP5_CLASSES = 20


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
    def of(cls, probabilities: NDArray[Any], labels: NDArray[np.int64]) -> Answers:
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


def classified(
    session: Session, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[Scores, NDArray[np.int64]]:
    """How well a model classifies images [N, H, W, C], and the label it gives to each, int64 [N].

    Raises:
        InputError: there are no images, they do not fit, or a label is not a class of the model.
    """
    if not len(images):
        raise InputError("there are no images to classify")
    parts = [
        session.predict_proba(session.preprocess(images[start : start + BATCH]))
        for start in range(0, len(images), BATCH)
    ]
    probabilities = np.concatenate(parts)
    return score(probabilities, labels), probabilities.argmax(axis=1)


def score(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> Scores:
    """Compares probabilities [N, K], N at least 1, with labels [N].

    Raises InputError if a label is not a class of the model.
    """
    classes = probabilities.shape[1]
    check_labels(labels, classes)
    return summary(Answers.of(probabilities, labels), classes)


def summary(answers: Answers, classes: int) -> Scores:
    """How well answers to at least one image are, with this number of classes."""
    count, correct = len(answers), int(answers.correct.sum())
    low, high = wilson_interval(correct, count)
    top5, top5_low, top5_high = None, None, None
    if classes >= TOP5_CLASSES:
        among = int((answers.rank < 5).sum())
        top5 = among / count
        top5_low, top5_high = wilson_interval(among, count)
    return Scores(
        samples=count,
        correct=correct,
        accuracy=correct / count,
        confidence_low=low,
        confidence_high=high,
        top5=top5,
        top5_confidence_low=top5_low,
        top5_confidence_high=top5_high,
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
    """The 95 % confidence interval of a proportion, within 0 to 1 (Wilson 1927)."""
    z = 1.959963984540054
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # Rounding must not push the share out of its own interval.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
