"""Accuracy and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from sbn_deploy.measure.accuracy.scores import (
    BATCH,
    Answers,
    evaluate,
    score,
    summary,
    wilson_interval,
)
from sbn_runtime import InputError


@pytest.mark.parametrize("trials", [1, 2, 7, 360, 10_000])
def test_interval_is_wilsons(trials: int) -> None:
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        low, high = wilson_interval(successes, trials)
        expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert 0 <= low <= successes / trials <= high <= 1


def probabilities_of(x: np.ndarray) -> np.ndarray:
    """A model that reads its answer from the input."""
    rows: np.ndarray = x[:, 0, 0]
    return rows


def test_evaluates_in_batches() -> None:
    rng = np.random.default_rng(0)
    count = 2 * BATCH + 3
    x = rng.dirichlet(np.ones(4), count).astype(np.float32)[:, None, None]
    labels = rng.integers(0, 4, count)
    result = evaluate(probabilities_of, x, labels)
    rows = x[:, 0, 0].astype(np.float64)
    assert result.samples == count
    assert result.correct == int((rows.argmax(1) == labels).sum())
    assert result.accuracy == result.correct / count
    assert result.nll == pytest.approx(-np.log(rows[np.arange(count), labels]).mean())


def test_certainty_of_a_wrong_class_is_finite() -> None:
    x = np.array([[[[1, 0]]]], np.float32)
    result = evaluate(probabilities_of, x, np.array([1]))
    assert np.isfinite(result.nll)
    assert result.nll > 80


@pytest.mark.parametrize("label", [-1, 2])
def test_label_that_is_no_class(label: int) -> None:
    x = np.array([[[[1, 0]]]], np.float32)
    with pytest.raises(InputError, match="the model has 2 classes"):
        evaluate(probabilities_of, x, np.array([label]))


def test_no_samples() -> None:
    with pytest.raises(InputError, match="no samples"):
        evaluate(probabilities_of, np.empty((0, 1, 1, 2), np.float32), np.empty(0, np.int64))


def answers(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    return probabilities, rng.integers(0, classes, count)


@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(2, 30))
def test_against_scikit_learn(seed: int, count: int, classes: int) -> None:
    probabilities, labels = answers(seed, count, classes)
    found = score(probabilities, labels)
    assert found.accuracy == accuracy_score(labels, probabilities.argmax(axis=1))
    normal = probabilities.astype(np.float64)
    normal /= normal.sum(axis=1, keepdims=True)
    assert found.nll == pytest.approx(log_loss(labels, normal, labels=range(classes)), abs=1e-5)
    if classes < 20:
        assert (found.top5, found.top5_low, found.top5_high) == (None, None, None)
    else:
        # Float64: scikit-learn's own ties are broken otherwise, and there are none.
        top5 = top_k_accuracy_score(labels, normal, k=5, labels=range(classes))
        assert found.top5 == pytest.approx(top5)
        interval = wilson_interval(round(top5 * count), count)
        assert (found.top5_low, found.top5_high) == interval


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(2, 8))
def test_equally_probable_classes_stand_in_their_order(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = (rng.integers(0, 3, (count, classes)) / 4).astype(np.float32)
    labels = rng.integers(0, classes, count)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    found = Answers.of(probabilities, labels)
    assert np.array_equal(found.predicted, order[:, 0])
    assert np.array_equal(found.rank, (order == labels[:, np.newaxis]).argmax(axis=1))
    assert np.array_equal(found.correct, found.rank == 0)


@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(1, 59))
def test_parts_make_the_same_whole(seed: int, count: int, cut: int) -> None:
    probabilities, labels = answers(seed, count, 21)
    parts = [
        Answers.of(probabilities[part], labels[part])
        for part in (slice(0, min(cut, count)), slice(min(cut, count), count))
    ]
    assert summary(Answers.joined(parts), 21) == score(probabilities, labels)
