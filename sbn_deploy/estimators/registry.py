"""The estimators by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sbn_runtime.errors import ConfigError

from .base import Estimator
from .pathwise import DeterministicStraightThrough, GumbelSoftmax, StraightThrough
from .psa import PathSampleAnalytic
from .score import Arm, Reinforce

_MAKERS: dict[str, Callable[[float], Estimator]] = {
    "st": lambda _: StraightThrough(),
    "st-identity": lambda _: StraightThrough("identity"),
    "st-hardtanh": lambda _: StraightThrough("hardtanh"),
    "det-st": lambda _: DeterministicStraightThrough(),
    "det-st-identity": lambda _: DeterministicStraightThrough("identity"),
    "det-st-hardtanh": lambda _: DeterministicStraightThrough("hardtanh"),
    "gumbel": lambda temperature: GumbelSoftmax(temperature, hard=False),
    "gumbel-st": lambda temperature: GumbelSoftmax(temperature, hard=True),
    "psa": lambda _: PathSampleAnalytic(),
    "reinforce": lambda _: Reinforce(),
    "arm": lambda _: Arm(),
}


def names() -> tuple[str, ...]:
    """Names of all estimators."""
    return tuple(_MAKERS)


def create(chosen: Sequence[str], temperature: float = 0.5) -> list[Estimator]:
    """The estimators of those names; `temperature` is that of Gumbel-softmax.

    Raises:
        ConfigError: no estimator has that name, or the temperature is not above 0.
    """
    for name in chosen:
        if name not in _MAKERS:
            raise ConfigError(f"unknown estimator {name!r}; choose of {', '.join(names())}")
    return [_MAKERS[name](temperature) for name in chosen]
