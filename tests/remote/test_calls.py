"""When a phone's answers are those of this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from sbn_deploy.remote.calls import check_outputs, read_outputs
from sbn_runtime import RemoteError, TensorInfo

FLOATS = np.float32([[1.0, -250.0], [0.0, np.inf]])
WORDS = np.uint64([[1, 2**63], [0, 7]])


def check(here: NDArray[Any], there: NDArray[Any]) -> None:
    info = TensorInfo("y", here.dtype.name, ("N", 2))
    check_outputs("phone", [info], [[here]], [[there]])


def test_floats_may_differ_by_rounding() -> None:
    off = np.float32([[0.002, 0], [-0.002, 0]])
    check(FLOATS, FLOATS)
    check(FLOATS, FLOATS + off)
    with pytest.raises(RemoteError, match=r"'y': off by up to 0.006, its largest value is 250;"):
        check(FLOATS, FLOATS + 3 * off)
    for other in (np.nan, -np.inf, 3.0):
        with pytest.raises(RemoteError, match="other values are not finite"):
            check(FLOATS, np.float32([[1.0, -250.0], [0.0, other]]))


def test_zeros_are_zeros() -> None:
    zeros = np.zeros((2, 2), np.float32)
    check(zeros, -zeros)
    with pytest.raises(RemoteError, match="off by up to 1e-30"):
        check(zeros, zeros + np.float32(1e-30))


@given(st.integers(0, 3), st.integers(0, 63))
def test_bits_may_not(element: int, bit: int) -> None:
    other = WORDS.copy()
    other.flat[element] ^= np.uint64(1 << bit)
    with pytest.raises(RemoteError, match="1 of its 4 values differ"):
        check(WORDS, other)


@given(
    st.lists(
        arrays.arrays(
            st.sampled_from([np.dtype(name) for name in ("f4", "u1", "i2", "i8", "u8", "?")]),
            arrays.array_shapes(min_dims=0, max_dims=4, min_side=0),
        ),
        max_size=4,
    )
)
def test_outputs_are_read_as_they_were_written(outputs: list[NDArray[Any]]) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(x.tobytes() for x in outputs))
        file.flush()
        (found,) = read_outputs(Path(file.name), [outputs])
    for x, y in zip(outputs, found, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()
