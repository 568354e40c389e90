"""The estimators by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sbn_deploy.names import Registry

from .base import Estimator
from .pathwise import DeterministicStraightThrough, GumbelSoftmax, StraightThrough
from .psa import PathSampleAnalytic
from .score import Arm, Reinforce

_MAKERS: Registry[Callable[[float], Estimator]] = Registry("an estimator")
_MAKERS |= {
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
    return [_MAKERS.find(name)(temperature) for name in chosen]
