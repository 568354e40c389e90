"""Run exported stochastic binary networks with bit-packed kernels.

    from sbn_runtime import Session

    session = Session("digits.onnx", threads=1)
    probabilities = session.predict_proba(session.preprocess(images))

Needs numpy and, unless the engine is "native", onnxruntime; nothing else. To use onnxruntime
directly, register `library_path()` with your own session options.
"""

from __future__ import annotations

import os

# Once it is imported, onnxruntime 1.31 keeps a telemetry database in the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .anytime import Anytime
from .batches import BatchClassifier
from .calibrated import Interval, PredictionSet
from .calibration import Calibration
from .errors import (
    ArtifactError,
    ConfigError,
    InputError,
    IsaError,
    MissingDependencyError,
    ModelError,
    OutputError,
    RemoteError,
    SbnError,
    UnsupportedLayerError,
)
from .feeds import TensorInfo
from .listen import Heard, Listener
from .native import available_isas, isa, library_path
from .preprocess import Preprocess, Standardize
from .session import Session
from .sound import LogMel
from .uncertainty import Estimate, Prediction

__all__ = [
    "Anytime",
    "ArtifactError",
    "BatchClassifier",
    "Calibration",
    "ConfigError",
    "Estimate",
    "Heard",
    "InputError",
    "Interval",
    "IsaError",
    "Listener",
    "LogMel",
    "MissingDependencyError",
    "ModelError",
    "OutputError",
    "Prediction",
    "PredictionSet",
    "Preprocess",
    "RemoteError",
    "SbnError",
    "Session",
    "Standardize",
    "TensorInfo",
    "UnsupportedLayerError",
    "available_isas",
    "isa",
    "library_path",
]


def __getattr__(name: str) -> str:
    # Reading the version takes longer than loading all of this package.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("sbn-deploy")
        except PackageNotFoundError:
            return "0+source"  # a source tree that was never installed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
