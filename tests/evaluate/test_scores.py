"""Accuracy and its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from sbn_deploy.evaluate.scores import (
    BATCH,
    Answers,
    classified,
    score,
    summary,
    wilson_interval,
)
from sbn_runtime import InputError, Session

from ..small_models import Classifier, random_images


@pytest.mark.parametrize("trials", [1, 2, 7, 360, 10_000])
def test_interval_is_wilsons(trials: int) -> None:
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        low, high = wilson_interval(successes, trials)
        expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert 0 <= low <= successes / trials <= high <= 1


def test_classifies_in_batches(tmp_path: Path) -> None:
    session = Session(Classifier.random().write(tmp_path / "model.onnx"))
    images = random_images(2 * BATCH + 3)
    labels = np.random.default_rng(0).integers(0, 3, len(images))
    probabilities = session.predict_proba(session.preprocess(images))
    scores, found = classified(session, images, labels)
    assert scores == score(probabilities, labels)
    assert (found == probabilities.argmax(axis=1)).all()
    assert scores.samples == len(images)
    assert scores.correct == int((found == labels).sum())
    nll = -np.log(probabilities[np.arange(len(labels)), labels].astype(np.float64)).mean()
    assert scores.nll == pytest.approx(nll)
    with pytest.raises(InputError, match="no images"):
        classified(session, images[:0], labels[:0])


def test_certainty_of_a_wrong_class_is_finite() -> None:
    result = score(np.array([[1, 0]], np.float32), np.array([1]))
    assert np.isfinite(result.nll)
    assert result.nll > 80


@pytest.mark.parametrize("label", [-1, 2])
def test_label_that_is_no_class(label: int) -> None:
    with pytest.raises(InputError, match="the model has 2 classes"):
        score(np.array([[1, 0]], np.float32), np.array([label]))


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
        assert (found.top5, found.top5_confidence_low, found.top5_confidence_high) == (
            None,
            None,
            None,
        )
    else:
        # Float64: scikit-learn's own ties are broken otherwise, and there are none.
        top5 = top_k_accuracy_score(labels, normal, k=5, labels=range(classes))
        assert found.top5 == pytest.approx(top5)
        interval = wilson_interval(round(top5 * count), count)
        assert (found.top5_confidence_low, found.top5_confidence_high) == interval


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
