"""Inference that stops when the answer is settled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sbn_runtime import InputError, Session
from sbn_runtime.anytime import (
    flip_probability,
    overturn_probability,
    predict_until,
    student_t_tail,
)

from ..small_models import Classifier, StochasticClassifier, random_images


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 10, 31, 32, 100, 255, 256])
def test_student_t(freedom: int) -> None:
    t = np.concatenate([-np.logspace(-6, 3, 50), [0], np.logspace(-6, 3, 50)])
    expected = stats.t.sf(t, freedom)
    np.testing.assert_allclose(student_t_tail(t, freedom), expected, atol=1e-13)


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20))
def test_overturning_against_the_posterior(seed: int, known: int, rest: int) -> None:
    """The closed form is the posterior predictive, drawn by brute force."""
    rng = np.random.default_rng(seed)
    d = np.clip(rng.normal(0.2, 0.3, known), -1, 1)
    found = float(overturn_probability(d, known + rest))
    if known * d.mean() > rest:
        assert found == 0
        return
    # One observation of a tie beside the others; all scales alike beforehand.
    both = np.append(d, 0)
    centre = both.mean()
    draws = 200_000
    variance = ((both - centre) ** 2).sum() / rng.chisquare(known, draws)
    mean = rng.normal(centre, np.sqrt(variance / (known + 1)))
    future = rng.normal(mean, np.sqrt(variance / rest))
    share = float((known * d.mean() + rest * future < 0).mean())
    assert found == pytest.approx(share, abs=5 * 0.5 / np.sqrt(draws))


@pytest.mark.parametrize("size", [1.0, 0.01])
def test_samples_that_happen_to_agree_prove_little(size: float) -> None:
    left = [float(overturn_probability(np.full(n, size), 32)) for n in range(1, 16)]
    assert left == sorted(left, reverse=True)
    assert left[3] == pytest.approx(0.006, abs=0.0005)
    assert overturn_probability(np.zeros(4), 32) == 0.5


def test_lead_that_cannot_be_overturned() -> None:
    assert overturn_probability(np.ones(17), 32) == 0
    assert overturn_probability(np.ones(16), 32) > 0
    assert overturn_probability(-np.ones(3), 4) > 0.9


def test_more_samples_than_degrees_of_freedom_in_use() -> None:
    d = np.random.default_rng(0).normal(0.01, 0.2, 1000)
    spread = d.std() * np.sqrt(1 / 1000 + 1 / 9000)
    normal = stats.norm.cdf(-d.mean() * (1 + 1000 / 9000) / spread)
    assert overturn_probability(d, 10_000) == pytest.approx(normal, rel=0.2)


def test_flips_are_bounded_by_the_other_classes_and_by_the_margin() -> None:
    rng = np.random.default_rng(0)
    samples = rng.dirichlet([3, 1, 1, 1], (6, 40))
    found = flip_probability(samples, 16)
    for image in range(40):
        rows = samples[:, image]
        lead = rows.mean(axis=0).argmax()
        others = [k for k in range(4) if k != lead]
        sum_of_others = sum(overturn_probability(rows[:, lead] - rows[:, k], 16) for k in others)
        margin = overturn_probability(rows[:, lead] - rows[:, others].max(axis=1), 16)
        assert found[image] == pytest.approx(min(sum_of_others, margin))


def simulated(kind: str, images: int) -> np.ndarray:
    """Probabilities [32, N, K] of images from sure to ambiguous."""
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 1, (1, images, 5)) * rng.gamma(1, 3, (1, images, 1))
    if kind == "normal":
        noise = rng.normal(0, 1.5, (32, images, 5))
    elif kind == "outliers":  # now and then something quite different
        noise = rng.normal(0, 6, (32, images, 5)) * (rng.random((32, images, 1)) < 0.2)
    else:  # hard votes
        noise = rng.gumbel(0, 1, (32, images, 5))
        centre = np.where((centre + noise) == (centre + noise).max(2, keepdims=True), 50.0, 0.0)
        noise = 0
    e = np.exp(centre + noise - (centre + noise).max(axis=2, keepdims=True))
    shares: np.ndarray = e / e.sum(axis=2, keepdims=True)
    return shares


@pytest.mark.parametrize("kind", ["normal", "votes"])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
@pytest.mark.parametrize("group", [1, 4, 5])
def test_labels_hold_as_often_as_promised(kind: str, confidence: float, group: int) -> None:
    rows = simulated(kind, 2000)
    drawn = []

    def draw(x: np.ndarray, first: int, count: int) -> np.ndarray:
        drawn.append((len(x), first, count))
        return rows[first : first + count, x][np.newaxis]

    found = predict_until(draw, np.arange(2000), confidence=confidence, max_samples=32, group=group)
    final = rows.mean(axis=0).argmax(axis=1)
    changed = int((found.label != final).sum())
    assert changed <= stats.binom(2000, 1 - confidence).isf(1e-3)
    assert found.samples_used.mean() < 32
    assert sum(images * count for images, _, count in drawn) == found.samples_used.sum()
    assert all(first + count <= 32 for _, first, count in drawn)
    np.testing.assert_array_equal(
        found.label[found.samples_used == 32], final[found.samples_used == 32]
    )


def test_outliers_break_the_promise_by_a_little() -> None:
    rows = simulated("outliers", 2000)

    def draw(x: np.ndarray, first: int, count: int) -> np.ndarray:
        return rows[first : first + count, x][np.newaxis]

    found = predict_until(draw, np.arange(2000), confidence=0.99, max_samples=32, group=4)
    changed = (found.label != rows.mean(axis=0).argmax(axis=1)).mean()
    # docs/uncertainty.md quotes it.
    assert changed == pytest.approx(0.035, abs=0.01)


@pytest.mark.parametrize("members", [1, 3])
def test_answers_are_those_of_the_samples_used(tmp_path: Path, members: int) -> None:
    session = Session(StochasticClassifier.random(members).write(tmp_path / "noisy.onnx"))
    x = session.preprocess(random_images(40))
    found = session.predict_until(x, confidence=0.99, max_samples=21, group=4, seed=11)
    assert set(found.samples_used) <= {4, 8, 12, 16, 20, 21}
    assert len(set(found.samples_used)) > 1
    for used in set(found.samples_used):
        same = session.predict(x, return_uncertainty=True, samples=int(used), seed=11)
        chosen = found.samples_used == used
        for name, values in vars(same).items():
            np.testing.assert_array_equal(getattr(found, name)[chosen], values[chosen])


def test_images_do_not_depend_on_each_other(tmp_path: Path) -> None:
    session = Session(StochasticClassifier.random().write(tmp_path / "noisy.onnx"))
    x = session.preprocess(random_images(300))
    whole = session.predict_until(x)
    assert whole.samples_used.shape == (300,)
    for start in (0, 7, 255, 256, 299):
        one = session.predict_until(x[start : start + 1])
        for name, values in vars(one).items():
            np.testing.assert_array_equal(values[0], getattr(whole, name)[start])


def test_one_look(tmp_path: Path) -> None:
    session = Session(StochasticClassifier.random().write(tmp_path / "noisy.onnx"))
    x = session.preprocess(random_images(3))
    assert session.predict_until(x, max_samples=1).samples_used.tolist() == [1, 1, 1]
    assert session.predict_until(x, max_samples=8, group=100).samples_used.tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence must be at least 0.5 and below 1, not 1.0"),
        ({"confidence": 0.2}, "confidence must be"),
        ({"confidence": "high"}, r"confidence must be .* not 'high'"),
        ({"confidence": float("nan")}, "confidence must be"),
        ({"max_samples": 0}, "max_samples must be 1 to 65536, not 0"),
        ({"group": 0}, "group must be 1 to 65536, not 0"),
        ({"group": 1.5}, "group must be a whole number"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_unfit_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    session = Session(StochasticClassifier.random().write(tmp_path / "noisy.onnx"))
    with pytest.raises(InputError, match=message):
        session.predict_until(session.preprocess(random_images(1)), **options)


def test_model_without_noise(tmp_path: Path) -> None:
    session = Session(Classifier.random().write(tmp_path / "single.onnx"))
    with pytest.raises(InputError, match=r"predict_until does not apply: .* has no noise"):
        session.predict_until(session.preprocess(random_images(1)))
