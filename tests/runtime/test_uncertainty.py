"""Figures of uncertainty against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from sbn_runtime import Prediction
from sbn_runtime.uncertainty import entropy, mean_probabilities, softmax, summarize


def summary(rows: np.ndarray) -> Prediction:
    return summarize(rows, mean_probabilities(rows))


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 5), st.integers(1, 12))
def test_against_definitions(seed: int, count: int, images: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 10, (count, images, classes)).astype(np.float32)
    rows = softmax(logits)
    np.testing.assert_allclose(rows, special.softmax(logits.astype(float), axis=2), rtol=1e-12)
    found = summary(rows)
    mean = rows.mean(axis=0)
    whole = special.entr(mean).sum(axis=1)
    divergences = special.rel_entr(rows, mean).sum(axis=2)
    np.testing.assert_array_equal(found.label, mean.astype(np.float32).argmax(axis=1))
    np.testing.assert_array_equal(found.probability, mean.astype(np.float32).max(axis=1))
    np.testing.assert_allclose(found.entropy, whole, atol=1e-12)
    # Mutual information is the mean divergence of a row from the mean.
    np.testing.assert_allclose(found.mutual_information, divergences.mean(axis=0), atol=1e-12)
    for image in range(images):
        votes = [int(row[image].argmax()) == found.label[image] for row in rows]
        assert found.agreement[image] == np.mean(votes)
    assert np.all((found.mutual_information >= 0) & (found.mutual_information <= found.entropy))
    assert np.all(found.entropy <= np.log(classes) + 1e-12)


def test_one_network_contradicts_nobody() -> None:
    found = summary(softmax(np.random.default_rng(0).normal(size=(1, 50, 10)).astype(np.float32)))
    assert np.all(found.mutual_information == 0)
    assert np.all(found.agreement == 1)
    assert np.all(found.entropy > 0)


def test_shared_doubt_and_contradiction() -> None:
    shared = np.full((4, 1, 2), 0.5)
    contradiction = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert summary(shared).entropy == pytest.approx(np.log(2))
    assert summary(shared).mutual_information == pytest.approx(0)
    assert summary(contradiction).entropy == pytest.approx(np.log(2))
    assert summary(contradiction).mutual_information == pytest.approx(np.log(2))
    assert summary(contradiction).agreement == pytest.approx(0.5)


def test_certainty_has_no_entropy() -> None:
    assert entropy(np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [0, 0]
    assert softmax(np.array([[1e4, -1e4]], np.float32)).tolist() == [[1, 0]]


def test_layout_does_not_change_a_bit() -> None:
    logits = np.random.default_rng(0).normal(size=(10, 7, 6)).astype(np.float32)
    turned = np.asfortranarray(logits)
    np.testing.assert_array_equal(softmax(turned), softmax(logits))
    for start in range(6):
        part = softmax(logits[:, start : start + 2])
        np.testing.assert_array_equal(
            mean_probabilities(part), mean_probabilities(softmax(logits))[start : start + 2]
        )
