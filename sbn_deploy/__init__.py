"""Train, materialise, export and measure stochastic binary networks.

The workstation side. Importing this package loads no torch; the subpackages
`nn`, `train` and `materialize` do.
"""

__version__ = "0.1.0"
