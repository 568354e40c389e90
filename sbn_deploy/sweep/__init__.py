"""Every form of one checkpoint, measured: accuracy, latency, and which form to ship."""

from .answer import Answer, Candidate, answer, front
from .config import SweepConfig, load
from .steps import Sweep

__all__ = ["Answer", "Candidate", "Sweep", "SweepConfig", "answer", "front", "load"]
