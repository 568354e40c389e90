"""Weights taken apart give the weights again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters.onnx.normalise.weights import ScaledSigns, scaled_signs

from .graphs import floats, signs


def _together(parts: ScaledSigns) -> NDArray[Any]:
    ones = (-1, *[1] * (parts.signs[0].ndim - 1))
    total = np.sum(np.stack(parts.signs), axis=0)
    return total * parts.scale.reshape(ones) + parts.offset.reshape(ones)


@given(
    filters=st.integers(1, 5),
    size=st.integers(1, 12),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["plain", "scaled", "two values", "ternary", "mixed"]),
)
def test_what_is_binary_comes_back_exactly(filters: int, size: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    w = signs(filters, size, seed=seed)
    scale = rng.uniform(0.1, 2, (filters, 1)).astype(np.float32)
    if kind != "plain":
        w = w * scale
    if kind == "two values":
        w = w + rng.normal(size=(filters, 1)).astype(np.float32)
    if kind == "ternary":
        w = w * rng.integers(0, 2, w.shape)
    if kind == "mixed":
        w[0] = 0
    parts = scaled_signs(w)
    assert isinstance(parts, ScaledSigns)
    assert all(np.isin(one, (-1, 1)).all() for one in parts.signs)
    np.testing.assert_allclose(_together(parts), w, rtol=1e-6, atol=1e-7)
    if kind in ("plain", "scaled", "ternary"):
        np.testing.assert_array_equal(_together(parts).astype(np.float32), w)
    assert parts.is_plain == (kind == "plain")


def test_zeros_are_counted_where_others_are_not_zero() -> None:
    w = signs(3, 8)
    w[0, :2] = 0
    w[1] = 0
    parts = scaled_signs(w)
    assert isinstance(parts, ScaledSigns)
    assert (parts.zeros, len(parts.signs)) == (2, 2)
    np.testing.assert_array_equal(_together(parts), w)


def test_rounding_of_one_magnitude_is_averaged() -> None:
    w = signs(2, 64) * np.float32(0.3) * (1 + 5e-7 * floats(2, 64))
    parts = scaled_signs(w)
    assert isinstance(parts, ScaledSigns)
    np.testing.assert_allclose(parts.scale, 0.3, rtol=1e-5)
    assert not parts.offset.any()


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (floats(4, 9), "more than two values"),
        (np.array([[1.0, np.nan]]), "not all finite"),
        (np.zeros((0, 4)), "no weights"),
        (signs(4, 3, 3, 3) * np.linspace(1, 2, 3).reshape(1, 3, 1, 1), "each input channel"),
    ],
)
def test_what_is_not_binary_says_why(weights: NDArray[Any], reason: str) -> None:
    found = scaled_signs(weights)
    assert isinstance(found, str)
    assert reason in found
