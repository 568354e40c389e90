"""What the tool that measures calibration rests on."""

from __future__ import annotations

import numpy as np
import pytest

from sbn_runtime.calibration import tempered

from .calibration import _interval, _vector_scaling, ece, perfect, splits


def test_splits_are_halves() -> None:
    found = list(splits(3, 100))
    assert len({tuple(own) for own, _ in found}) == 3
    for own, other in found:
        assert sorted([*own, *other]) == list(range(100))
        assert len(own) == len(other)


def test_a_perfect_forecaster_is_rarely_above_its_quantile() -> None:
    """Confidences that come true have a calibration error all the same, by chance."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(4, 0.5), 400)
    limit = perfect(p)
    found = []
    for _ in range(200):
        # The label is drawn from the probabilities themselves.
        labels = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
        found.append(ece(p, labels))
    assert (np.array(found) > limit).mean() == pytest.approx(0.05, abs=0.05)
    assert ece(tempered(p, 0.3), labels) > limit


def test_vector_scaling_finds_slopes_and_offsets_again() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 20_000)
    logits = np.array([1.5, 0.7, 1.0]) * np.log(p) + np.array([0.3, -0.3, 0.0])
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (exact.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
    np.testing.assert_allclose(_vector_scaling(p, labels, p), exact, atol=0.05)


def test_intervals_are_as_wide_as_those_of_one_split() -> None:
    parts = [np.array([0.0, 2.0] * 50), np.array([1.0, 3.0] * 50)]
    low, high = _interval(parts)
    assert (low + high) / 2 == pytest.approx(1.5)
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(parts[0], ddof=1) / 10)
