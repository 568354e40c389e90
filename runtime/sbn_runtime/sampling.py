"""Which noise samples of a stochastic model are taken."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .errors import InputError

MAX_SAMPLES = 1 << 16
SEED, SAMPLES, FIRST_SAMPLE = INPUTS = ("seed", "samples", "first_sample")


class Draw(NamedTuple):
    """Samples `first` to `first + count - 1` of a seed."""

    seed: int
    samples: int
    first: int = 0

    def groups(self, size: int) -> Iterable[Draw]:
        """The same samples in groups of at most `size`."""
        for start in range(0, self.samples, size):
            yield Draw(self.seed, min(size, self.samples - start), self.first + start)


def defaults(metadata: Mapping[str, Any]) -> Draw | None:
    """A model's default samples; None if its metadata has none."""
    seed, count = metadata.get("noise_seed"), metadata.get(SAMPLES)
    try:
        return Draw(check_seed(seed), check_samples(count))
    except InputError:
        return None


def check_samples(value: Any, name: str = SAMPLES) -> int:
    """Raises InputError unless `value` is a whole number from 1 to 65,536."""
    count = _whole(value, name)
    if not 1 <= count <= MAX_SAMPLES:
        raise InputError(f"{name} must be 1 to {MAX_SAMPLES}, not {count}")
    return count


def check_seed(value: Any) -> int:
    """Raises InputError unless `value` is a whole number from 0 to 2^63 - 1."""
    seed = _whole(value, SEED)
    if not 0 <= seed < 1 << 63:
        raise InputError(f"seed must be 0 to 2^63 - 1, not {seed}")
    return seed


def _whole(value: Any, name: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be a whole number, not {value!r}") from None
