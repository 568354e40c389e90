"""Gradient estimators that activations can be trained with, by the names of `sbn estimators`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from sbn_deploy.names import suggest
from sbn_deploy.nn.activation import StochasticSign, Unit
from sbn_deploy.nn.estimator import Forward, gumbel_softmax, straight_through
from sbn_deploy.nn.surrogate import HardTanh, Identity
from sbn_runtime.errors import ConfigError

DEFAULT = "st"

_UNITS: dict[str, Callable[[float], Unit]] = {
    "st": lambda _: straight_through,
    "st-identity": lambda _: partial(straight_through, surrogate=Identity()),
    "st-hardtanh": lambda _: partial(straight_through, surrogate=HardTanh()),
    "gumbel": lambda temperature: partial(gumbel_softmax, temperature=temperature, hard=False),
    "gumbel-st": lambda temperature: partial(gumbel_softmax, temperature=temperature, hard=True),
}
_DETERMINISTIC = "det-"

NAMES = (*_UNITS, *(_DETERMINISTIC + name for name in _UNITS if "gumbel" not in name))
"""Those that are known here: each is a unit, sampled or, with det-, deterministic."""


def check_name(name: str) -> None:
    """Raises ConfigError for a name that is not of `NAMES`."""
    if name not in NAMES:
        raise ConfigError(
            f"unknown estimator {name!r}{suggest(name, NAMES)}; choose one of {', '.join(NAMES)}"
        )


def forward_of(name: str) -> Forward:
    """How units are evaluated in training by an estimator of `NAMES`."""
    return "deterministic" if name.startswith(_DETERMINISTIC) else "sampled"


def set_estimator(model: nn.Module, name: str, temperature: float = 0.5) -> None:
    """Choose how the gradient of all stochastic signs is estimated from now on.

    How they are evaluated in training is left as it is, see `forward_of`.

    Args:
        name: of `NAMES`.
        temperature: of Gumbel-softmax, above 0.

    Raises:
        ConfigError: an unknown estimator, a temperature out of range, or a network without
            stochastic signs, unless the estimator is the default.
    """
    check_name(name)
    if not 0 < temperature < math.inf:
        raise ConfigError(f"the temperature is {temperature}; it must be positive and finite")
    unit = _UNITS[name.removeprefix(_DETERMINISTIC)](temperature)
    signs = [module for module in model.modules() if isinstance(module, StochasticSign)]
    if not signs and name != DEFAULT:
        raise ConfigError(
            f"estimator {name!r} is for stochastic signs, and the network has none; leave it out"
        )
    for module in signs:
        module.unit = unit
