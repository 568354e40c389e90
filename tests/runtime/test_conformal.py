"""Scores, quantiles and sets against their definitions, and against MAPIE."""

from __future__ import annotations

from math import ceil, nextafter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.utils import _compute_classification_quantile

from sbn_runtime.conformal import APS, LAC, METHODS, RAPS, needed, quantile, scores, uniform

SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.integers(1, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 2 / 3, 0.07]))
def test_quantile_is_the_kth_smallest(seed: int, count: int, coverage: float) -> None:
    # Few values, so that there are ties.
    values = np.random.default_rng(seed).integers(0, 10, count) / 10
    k = next(k for k in range(1, count + 3) if k >= (count + 1) * coverage - 1e-9)
    found = quantile(values, coverage)
    if k > count:
        assert found is None
        assert count < needed(coverage)
    else:
        assert found == sorted(values)[k - 1]
        assert count >= needed(coverage)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("count", [100, 101, 360, 999, 5000])
def test_quantile_is_that_of_mapie(count: int, coverage: float) -> None:
    values = np.random.default_rng(count).random(count)
    (expected,) = _compute_classification_quantile(values[:, np.newaxis], np.array([1 - coverage]))
    found = quantile(values, coverage)
    if ceil((count + 1) * (1 - (1 - coverage))) == ceil((count + 1) * coverage - 1e-9):
        assert found == expected
    else:
        # (count + 1) · coverage is whole, and MAPIE's rounding error takes it for more.
        ordered = np.sort(values)
        assert found == ordered[np.searchsorted(ordered, expected) - 1]


def test_a_whole_rank_stays_whole() -> None:
    """Rounding of (n + 1) c must not take one score more than the definition."""
    assert quantile(np.arange(99.0), 0.07) == 6  # 100 · 0.07 is 7.000000000000001
    assert quantile(np.arange(9.0), 0.9) == 8
    assert quantile(np.arange(8.0), 0.9) is None
    assert needed(0.9) == 9
    assert needed(0.5) == 1


def definition(p: list[float], method: str, u: float) -> list[float]:
    """The scores of one image, one class at a time."""
    order = sorted(range(len(p)), key=lambda k: (-p[k], k))
    found = [0.0] * len(p)
    before = 0.0
    for rank, k in enumerate(order, 1):
        if rank > 1:
            found[k] = 1 - p[k]
            if method in (APS, RAPS):
                found[k] = before + u * p[k]
            if method == RAPS:
                found[k] += 0.01 * max(0, rank - 2)
        before += p[k]
    return found


@given(SEEDS, st.integers(1, 5), st.integers(2, 12), st.sampled_from(METHODS), st.booleans())
def test_scores(seed: int, images: int, classes: int, method: str, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), images)
    if ties:
        p = np.round(p, 1)
    u = rng.random(images)
    found = scores(p, method, u)
    for image in range(images):
        expected = definition(p[image].tolist(), method, float(u[image]))
        np.testing.assert_allclose(found[image], expected, rtol=0, atol=1e-15)
    assert (found.min(axis=1) == 0).all(), "the most probable class is in every set"


def test_scores_are_those_of_mapie() -> None:
    """Without the rule that no set is empty, which MAPIE does not have."""
    from mapie.conformity_scores import APSConformityScore, LACConformityScore

    p = np.random.default_rng(0).dirichlet(np.ones(6), 50)
    labels = p.argsort(axis=1)[:, 2]  # never the most probable one
    true = np.arange(50), labels
    lac = LACConformityScore().get_conformity_scores(labels, p, y_enc=labels)
    np.testing.assert_array_equal(scores(p, LAC)[true], lac[:, 0])
    kind = APSConformityScore()
    kind.set_external_attributes(classes=np.arange(6), random_state=np.random.RandomState(7))
    aps = kind.get_conformity_scores(labels, p, y_enc=labels)
    # MAPIE takes a share of the label's probability away; ours adds the rest of it.
    u = 1 - np.random.RandomState(7).uniform(size=50)
    np.testing.assert_allclose(scores(p, APS, u)[true], aps[:, 0], rtol=1e-12)


@pytest.mark.parametrize("method", [LAC, APS, RAPS])
def test_coverage(method: str) -> None:
    """What was asked for, on average over calibrations, however wrong the probabilities are."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 6))
    labels = (logits + rng.gumbel(0, 1.0, logits.shape)).argmax(axis=1)
    p = np.exp(3 * logits)
    own = scores(p / p.sum(axis=1, keepdims=True), method, rng.random(len(p)))
    of_true = own[np.arange(len(p)), labels]
    for coverage in (0.8, 0.9, 0.95):
        found = []
        for _ in range(200):
            order = rng.permutation(len(p))
            limit = quantile(of_true[order[:200]], coverage)
            found.append((of_true[order[200:]] <= limit).mean())
        k = ceil(201 * coverage - 1e-9)
        expected = max(k / 201, (labels == p.argmax(axis=1)).mean())
        spread = np.std(found) / np.sqrt(len(found))
        assert np.mean(found) == pytest.approx(expected, abs=4 * spread + 1e-3)


def slowly(words: list[int]) -> float:
    """`uniform` with Python's integers."""
    h = 0
    for w in words:
        h = (16777619 * h + (w ^ (w >> 16))) % 2**32
    h ^= h >> 16
    h = h * 0x85EBCA6B % 2**32
    h ^= h >> 13
    h = h * 0xC2B2AE35 % 2**32
    h ^= h >> 16
    return h / 2**32


@given(SEEDS, st.booleans())
def test_uniform(seed: int, pixels: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (3, 4, 5)).astype(np.uint8)
    if not pixels:
        x = (x / np.float32(255) - np.float32(0.5)).astype(np.float32)
    words = x.reshape(3, -1)
    rows = words.astype(np.uint32) if pixels else words.view(np.uint32)
    np.testing.assert_array_equal(uniform(x), [slowly(row.tolist()) for row in rows])


def test_uniform_is_even_and_depends_on_every_element() -> None:
    # Few bits of each float vary, as where pixels have 17 values.
    x = np.random.default_rng(0).integers(0, 17, (4000, 1, 8, 8)).astype(np.float32) / 8 - 1
    u = uniform(x)
    counts = np.bincount((u * 20).astype(int), minlength=20)
    assert ((counts - 200) ** 2 / 200).sum() < 45  # chi-squared, 19 degrees of freedom
    for place in range(64):
        changed = x[:1].copy()
        changed.reshape(-1)[place] = nextafter(3.0, 4.0)
        assert uniform(changed) != u[0]
    zero = np.zeros((1, 4), np.float32)
    assert uniform(-zero) == uniform(zero)
