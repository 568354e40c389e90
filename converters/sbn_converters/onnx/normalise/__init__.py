"""Brings binary layers, however a network writes them, into the one form that the lowering knows.

The lowering knows one sign, `Where(a < 0, -1, +1)`, and binary layers whose
weights are exactly +1 and -1. Networks from elsewhere write signs in dozens of
ways, scale them, give them the values 0 and 1, scale their weights, and work on
one axis. Each pass here has one job:

- `fold`: what depends on no input becomes a constant, what changes nothing goes;
- `straight_through`: what is added and taken away again goes;
- `rank`: one-dimensional layers become two-dimensional ones of height 1;
- `levels`: which values are functions of one float's sign, however it is written;
- `images`: values that are sums of scaled signs, followed to the layers that read them;
- `weights`: constants of two or three values in each filter, taken apart;
- `binary_layers`: layers of such values and weights, written as the lowering knows them.
"""

from .normalise import Normalised, normalise

__all__ = ["Normalised", "normalise"]
