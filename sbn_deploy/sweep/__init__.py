"""Every form of one checkpoint, measured: accuracy, latency, and which form to ship."""

from .config import SweepConfig, load
from .steps import Sweep

__all__ = ["Sweep", "SweepConfig", "load"]
