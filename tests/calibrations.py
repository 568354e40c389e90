"""Calibrations of the small models, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.calibrate.rewrite import read_metadata, with_metadata
from sbn_runtime.calibration import KEY, Calibration, Unknown
from sbn_runtime.modelfile import weights_digest

LEVELS = (0.5, 0.8, 0.9)


def calibration(**changed: Any) -> Calibration:
    """One for three classes, measured with 1, 2 and 8 networks."""
    entries: dict[str, Any] = {
        "task": "classification",
        "weights_sha256": "0" * 64,
        "data": "made up",
        "split": "test",
        "images": 500,
        "networks": (1, 2, 8),
        "measured": {"ece": 0.01},
        "levels": LEVELS,
        "temperatures": np.array([1.5, 0.75, 0.5]),
        "offsets": np.array([0.25, -0.5, 0.25]),
        "quantiles": {
            "lac": np.array([[0.25, 0.625, 0.75], [0.25, 0.5, 0.625], [0.125, 0.5, 0.75]]),
            "aps": np.array([[0.5, 0.75, 0.875], [0.5, 0.75, 0.875], [0.5, 0.75, 0.875]]),
            "raps": np.array([[0.5, 0.75, 0.875], [0.5, 0.75, 0.875], [0.5, 0.75, 0.875]]),
        },
        "by_class": np.array([[0.25, 0.0, 0.5], [0.5, 0.25, 0.75], [0.75, 0.5, 1.0]]),
        "class_networks": 2,
        "unknown": Unknown(
            "energy",
            (0.01, 0.05, 0.2),
            np.array([[3.0, 1.0, -1.0], [2.5, 0.5, -1.0], [2.0, 0.0, -1.0]]),
            {"noise": {"energy": 0.75, "entropy": 0.5}},
        ),
        "intervals": None,
    }
    return Calibration(**entries | changed)


def intervals(**changed: Any) -> Calibration:
    """One for a regression of three numbers."""
    return calibration(
        task="regression",
        networks=(1, 4),
        temperatures=np.ones(2),
        offsets=np.empty(0),
        quantiles={},
        by_class=None,
        unknown=None,
        intervals=np.array([[[0.5, 1, 2], [1, 2, 3], [2, 4, 6]]] * 2) / [[[1]], [[2]]],
        **changed,
    )


def write(path: Path, said: Any) -> Path:
    """Gives a file what is `said` for its calibration, with no look at it."""
    content = path.read_bytes()
    path.write_bytes(with_metadata(content, {**read_metadata(content, path), KEY: said}, path))
    return path


def calibrated(path: Path, found: Calibration | None = None) -> Path:
    """Gives a file a calibration, with the digest of its weights."""
    content = (found or calibration()).to_json()
    return write(path, content | {"weights_sha256": weights_digest(path)})
