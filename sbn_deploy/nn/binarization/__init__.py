"""Turns float networks into stochastic binary ones: `binarize`."""

from sbn_deploy.nn.binarization.network import binarize
from sbn_deploy.nn.binarization.result import Binarized, Change

__all__ = ["Binarized", "Change", "binarize"]
