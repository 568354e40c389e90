"""The tables from which signs are drawn, against the distribution functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbn_converters.onnx.noise import CODES, NoiseTable, random_bits
from sbn_deploy.materialize.signs import noise_table
from sbn_deploy.nn import noise as noises

STATED = 2.0**-12


def read(table: NoiseTable, code: np.ndarray) -> np.ndarray:
    """65536 times the probability of +1, as docs/operators.md says it."""
    size = np.minimum(np.abs(code), CODES - 1)
    start, rise = table.values.astype(np.int64)
    p = start[size // 512] + rise[size // 512] * (size % 512) // 512
    return np.where(code < 0, 65535 - p, p)


@pytest.mark.parametrize("name", noises.names())
def test_the_table_is_as_exact_as_it_says(name: str) -> None:
    noise = noises.get(name)
    table = noise_table(noise)
    rng = np.random.default_rng(0)
    a = np.concatenate([rng.uniform(-9, 9, 200_000), rng.normal(size=200_000), [-1e9, 0.0, 1e9]])
    code = np.clip(np.rint(a * table.codes), -CODES, CODES - 1).astype(np.int64)
    difference = np.abs(read(table, code) / 65536 - noise.cdf(torch.from_numpy(a)).numpy())
    # Below zero F is mirrored at 65535, not 65536.
    assert difference.max() <= table.error + 2 / 65536
    if name != "laplace":
        assert table.error <= STATED


@pytest.mark.parametrize("name", noises.names())
def test_the_table_never_falls(name: str) -> None:
    table = noise_table(noises.get(name))
    limits = read(table, np.arange(-CODES, CODES))
    assert (np.diff(limits) >= 0).all()
    assert (table.values[0] >= CODES).all()
    assert (table.values[1] >= 0).all()
    assert limits.min() >= 0
    assert limits.max() <= 65535


def test_an_element_has_its_number_whatever_the_size_of_its_layer() -> None:
    large = random_bits(12345678901, 3, 7, 30, 70)
    np.testing.assert_array_equal(random_bits(12345678901, 3, 7, 9, 33), large[:9, :33])
    assert len({random_bits(*key, 8, 8).tobytes() for key in KEYS}) == len(KEYS)


KEYS = [(0, 0, 0), (1, 0, 0), (1 << 32, 0, 0), (0, 1, 0), (0, 0, 1)]
