"""Train stochastic binary networks, export them bit-packed, run and measure them."""

from sbn_runtime import __version__

__all__ = ["__version__"]
