"""Which classes a model recognises, and which it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.evaluate.scores import Answers, wilson_interval
from sbn_deploy.records.evaluation import ClassScore


@dataclass(frozen=True)
class Mistake:
    """How many images of the class `true` were classified as `predicted`, and their share of it."""

    true: str
    predicted: str
    count: int
    share: float


def confusion_matrix(answers: Answers, classes: int) -> NDArray[np.int64]:
    """Counts [K, K]: the row is the true class, the column the predicted one."""
    cells = answers.label * classes + answers.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: NDArray[np.int64], names: Sequence[str]) -> list[ClassScore]:
    """The scores of each class."""
    images, given = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    scores = []
    for index, name in enumerate(names):
        correct = int(confusion[index, index])
        accuracy, low, high = None, None, None
        if images[index]:
            accuracy = correct / images[index]
            low, high = wilson_interval(correct, images[index])
        precision = correct / given[index] if given[index] else None
        scores.append(
            ClassScore(
                name=name,
                images=images[index],
                correct=correct,
                accuracy=accuracy,
                confidence_low=low,
                confidence_high=high,
                precision=precision,
            )
        )
    return scores


def worst(scores: Sequence[ClassScore], count: int) -> list[ClassScore]:
    """The classes with mistakes that are recognised least, worst first."""
    wrong = [score for score in scores if score.correct < score.images]
    return sorted(wrong, key=lambda score: (score.accuracy, -score.images))[:count]


def mistakes(confusion: NDArray[np.int64], names: Sequence[str], count: int) -> list[Mistake]:
    """The most frequent mistakes, most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    found = []
    for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        number = int(wrong[true, predicted])
        if number:
            share = number / int(confusion[true].sum())
            found.append(Mistake(names[true], names[predicted], number, share))
    return found
