"""Confusions and the scores of each class against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as expected_matrix
from sklearn.metrics import precision_score, recall_score

from sbn_deploy.evaluate.confusion import confusion_matrix, mistakes, per_class, worst
from sbn_deploy.evaluate.scores import Answers, wilson_interval


def answers(labels: np.ndarray, predicted: np.ndarray, classes: int) -> Answers:
    return Answers.of(np.eye(classes, dtype=np.float32)[predicted], labels)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 12))
def test_against_scikit_learn(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, classes, (2, count))
    matrix = confusion_matrix(answers(labels, predicted, classes), classes)
    assert np.array_equal(matrix, expected_matrix(labels, predicted, labels=range(classes)))
    names = [f"class {index}" for index in range(classes)]
    given_to = {"labels": range(classes), "average": None, "zero_division": 0}
    precision = precision_score(labels, predicted, **given_to)
    recall = recall_score(labels, predicted, **given_to)
    scores = per_class(matrix, names)
    assert [score.name for score in scores] == names
    for index, score in enumerate(scores):
        assert score.images == (labels == index).sum()
        assert score.accuracy == (pytest.approx(recall[index]) if score.images else None)
        if score.images:
            assert (score.confidence_low, score.confidence_high) == wilson_interval(
                score.correct, score.images
            )
        given = (predicted == index).any()
        assert score.precision == (pytest.approx(precision[index]) if given else None)

    found = mistakes(matrix, names, classes**2)
    assert sum(one.count for one in found) == (labels != predicted).sum()
    counts = [one.count for one in found]
    assert counts == sorted(counts, reverse=True)
    for one in found:
        true, other = names.index(one.true), names.index(one.predicted)
        assert one.count == ((labels == true) & (predicted == other)).sum()
        assert one.share == one.count / (labels == true).sum()
    assert mistakes(matrix, names, 2) == found[:2]


def test_worst_classes() -> None:
    labels = np.repeat([0, 1, 2], 4)
    predicted = np.array([0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 2, 2])
    scores = per_class(confusion_matrix(answers(labels, predicted, 4), 4), "abcd")
    assert [score.name for score in worst(scores, 5)] == ["c", "a"]
    assert [score.name for score in worst(scores, 1)] == ["c"]
