"""StochasticSign: its generator, and its function body against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters.onnx.noise import threefry4x32
from tests.converters.test_operators import check, run_function
from tests.stochastic import normal_table, stochastic_sign


def hexadecimal(words: str) -> list[NDArray[Any]]:
    return [np.array([int(word, 16)], np.uint32) for word in words.split()]


@pytest.mark.parametrize(
    ("rounds", "counter", "key", "expected"),
    [
        (20, "0 0 0 0", "0 0 0 0", "9c6ca96a e17eae66 fc10ecd4 5256a7d8"),
        (
            20,
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff ffffffff ffffffff",
            "2a881696 57012287 f6c7446e a16a6732",
        ),
        (
            20,
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0 082efa98 ec4e6c89",
            "59cd1dbb b8879579 86b5d00c ac8b6d84",
        ),
        (13, "0 0 0 0", "0 0 0 0", "531c7e4f 39491ee5 2c855a92 3d6abf9a"),
    ],
)
def test_threefry_gives_the_published_answers(
    rounds: int, counter: str, key: str, expected: str
) -> None:
    words = threefry4x32(hexadecimal(counter), hexadecimal(key), rounds)
    assert [f"{int(word[0]):08x}" for word in words] == expected.split()


def scalars(seed: int, first_sample: int, samples: int) -> list[NDArray[Any]]:
    return [np.array(value, np.int64) for value in (seed, first_sample, samples)]


@given(
    lead=st.lists(st.integers(1, 4), max_size=2),
    images=st.integers(1, 3),
    channels=st.integers(1, 70),
    samples=st.integers(1, 3),
    fan_out=st.integers(0, 1),
    seed=st.one_of(st.integers(0, 2**63 - 1), st.sampled_from([0, 2**32 - 1, 2**32, 2**63 - 1])),
    first_sample=st.one_of(st.integers(0, 9), st.just(2**31 - 3)),
    layer=st.one_of(st.integers(0, 9), st.just(2**31 - 1)),
)
def test_body_is_the_definition(
    lead: list[int],
    images: int,
    channels: int,
    samples: int,
    fan_out: int,
    seed: int,
    first_sample: int,
    layer: int,
) -> None:
    rng = np.random.default_rng(seed)
    rows = images if fan_out else images * samples
    x = rng.integers(-(2**15), 2**15, (rows, *lead, channels)).astype(np.int16)
    x.flat[:3] = np.array([-32768, 32767, 0], np.int16)[: x.size]
    table = normal_table()
    expected = stochastic_sign(x, table, seed, first_sample, samples, layer=layer, fan_out=fan_out)
    inputs = [x, table, *scalars(seed, first_sample, samples)]
    check(expected, run_function("StochasticSign", inputs, layer=layer, fan_out=fan_out))


def test_every_value_of_x_in_the_body() -> None:
    x = np.arange(-(2**15), 2**15).astype(np.int16).reshape(1, 16, 4096)
    expected = stochastic_sign(x, normal_table(), 5, 0, 1, layer=0, fan_out=1)
    inputs = [x, normal_table(), *scalars(5, 0, 1)]
    check(expected, run_function("StochasticSign", inputs, layer=0, fan_out=1))
