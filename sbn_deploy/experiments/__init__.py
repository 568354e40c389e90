"""Experiments on how stochastic binary networks are trained, each by one command.

`plans` says what is compared, `comparison` trains it over several seeds, and `ensembles`
averages over networks that differ in their seed.
"""

from .comparison import Compared, Variant, compare
from .ensembles import Averaged, average
from .plans import DEFAULTS, DESCENT, VARIANTS

__all__ = [
    "DEFAULTS",
    "DESCENT",
    "VARIANTS",
    "Averaged",
    "Compared",
    "Variant",
    "average",
    "compare",
]
