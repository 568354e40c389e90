"""From answers to a calibration."""

from __future__ import annotations

import numpy as np
import pytest

from sbn_deploy.calibrate import fit
from sbn_deploy.calibrate.measure import Classified, Counts
from sbn_deploy.evaluate.temperature import best_temperature
from sbn_runtime import conformal
from sbn_runtime.calibration import tempered

WANTED = Counts((1, 4), 4, None, 4)


def drawn(count: int, offsets: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [2, N, 3] that need the temperatures 0.5 and 2, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 3))
    exact = tempered(np.exp(logits), 1.0, np.array(offsets))
    labels = (exact.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    means = np.stack([tempered(np.exp(logits), 1 / T) for T in (0.5, 2.0)])
    return means, labels


def test_temperatures_without_offsets() -> None:
    means, labels = drawn(4000, (0, 0, 0))
    found = fit.scaling(means, labels, WANTED)
    np.testing.assert_allclose(found.temperatures, [0.5, 2], rtol=0.06)
    assert not found.offsets.any()
    assert found.measured["offsets_gain_low"] < 0
    assert found.measured["ece"] < 0.02 < found.measured["raw_ece"]
    assert found.measured["nll"] < found.measured["raw_nll"]
    assert found.measured["accuracy"] == found.measured["raw_accuracy"]


def test_offsets_where_they_win() -> None:
    means, labels = drawn(4000, (0.5, 0, -0.5))
    found = fit.scaling(means, labels, WANTED)
    # Of the default, whose logits are twice as large.
    np.testing.assert_allclose(found.offsets, [1, 0, -1], atol=0.25)
    assert found.temperatures[1] == pytest.approx(2, rel=0.06)
    assert found.measured["offsets_gain_low"] > 0
    assert found.measured["accuracy"] > found.measured["raw_accuracy"]


@pytest.mark.parametrize("count", [100, 361])
def test_quantiles_are_those_of_the_true_labels(count: int) -> None:
    means, labels = drawn(count, (0, 0, 0))
    u = np.random.default_rng(1).random(count)
    scaling = fit.Scaling(np.array([0.5, 2]), np.zeros(3), {}, [np.zeros(3)] * fit.FOLDS)
    found = fit.set_quantiles(Classified(means, np.zeros((2, count)), u), labels, scaling)
    levels = fit.levels(count)
    assert levels == tuple(c for c in fit.LEVELS if np.ceil((count + 1) * c - 1e-9) <= count)
    for method, table in found.items():
        assert table.shape == (2, len(levels))
        for row, mean in zip(table, means, strict=True):
            p = fit.cross_fitted(mean, labels, scaling.of_folds)
            scores = conformal.scores(p, method, u)[np.arange(count), labels]
            for level, value in zip(levels, row, strict=True):
                # Enough scores are not above it, and one fewer would not do.
                assert (scores <= value).sum() >= (count + 1) * level - 1e-9
                assert (scores < value).sum() < (count + 1) * level


def test_cross_fitted_probabilities_are_of_the_other_fifths() -> None:
    means, labels = drawn(300, (0, 0, 0))
    offsets = [np.array([k, 0.0, -k]) / 10 for k in range(fit.FOLDS)]
    found = fit.cross_fitted(means[0], labels, offsets)
    for k, own in enumerate(offsets):
        inside = np.arange(300) % fit.FOLDS == k
        T = best_temperature(means[0][~inside], labels[~inside], own)
        np.testing.assert_array_equal(found[inside], tempered(means[0][inside], T, own))


def test_quantiles_of_each_class() -> None:
    means, labels = drawn(400, (0, 0, -2))
    few = np.flatnonzero(labels == 2)[30:]
    kept = np.delete(np.arange(400), few)
    p, labels = tempered(means[0], 0.5)[kept], labels[kept]
    found = fit.class_quantiles(p, labels, (0.8, 0.9, 0.99))
    assert found is not None
    for k in range(3):
        own = 1 - p[labels == k, k]
        own[p[labels == k].argmax(axis=1) == k] = 0
        expected = [conformal.quantile(own, level) for level in (0.8, 0.9, 0.99)]
        np.testing.assert_array_equal(found[:, k], [1 if e is None else e for e in expected])
    assert found[2, 2] == 1, "30 images are too few for 99 %"
    eight = np.concatenate([np.flatnonzero(labels != 2), np.flatnonzero(labels == 2)[:8]])
    assert fit.class_quantiles(p[eight], labels[eight], (0.8,)) is None


def test_the_best_score_is_that_with_the_largest_mean() -> None:
    own = {"entropy": np.arange(10.0), "energy": np.arange(10.0)}
    shifted = {
        "blur": {"entropy": np.arange(10.0) + 5, "energy": np.arange(10.0) + 3},
        "noise": {"entropy": np.arange(10.0), "energy": np.arange(10.0) + 4},
    }
    chosen, found = fit.best_score(own, shifted)
    assert chosen == "energy"
    assert found["noise"]["entropy"] == 0.5
    assert fit.best_score(own, {}) == ("energy", {})
    assert fit.best_score({"entropy": np.arange(3.0)}, {}) == ("entropy", {})


@pytest.mark.parametrize("count", [100, 1000])
def test_thresholds_refuse_the_share_that_was_asked_for(count: int) -> None:
    scores = np.random.default_rng(0).normal(size=(2, count))
    found = fit.unknown("energy", scores, {})
    assert found.shares == fit.SHARES
    for row, limits in zip(scores, found.thresholds, strict=True):
        for share, limit in zip(found.shares, limits, strict=True):
            refused = (row > limit).mean()
            assert share - 2 / count <= refused <= share


def test_intervals() -> None:
    rng = np.random.default_rng(0)
    answers, targets = rng.normal(size=(2, 200, 3)), rng.normal(size=(200, 3))
    found = fit.interval_quantiles(answers, targets)
    levels = fit.levels(200)
    assert found.shape == (2, len(levels), 3)
    inside = np.abs(answers[1] - targets) <= found[1, levels.index(0.9)]
    np.testing.assert_array_equal(inside.sum(axis=0), [181] * 3)  # ceil(201 · 0.9)
