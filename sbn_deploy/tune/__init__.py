"""Settings of training found by experiment: a search on Optuna."""

from .config import TuneConfig, load
from .search import Search

__all__ = ["Search", "TuneConfig", "load"]
