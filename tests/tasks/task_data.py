"""Small archives of each task, with networks that learn something of them in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sbn_deploy.nn import BinaryConv2d, BinaryLinear, StochasticSign

COUNT = 120


def write(path: Path, task: str) -> Path:
    """An archive with `x` and `y` of a task, which a network can learn."""
    random = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]]
    match task:
        case "classification":
            signals = random.standard_normal((COUNT, 2, 16)) * 3 + 5
            arrays = {"x": signals, "y": (signals[:, 0].mean(axis=1) > 5).astype(np.int64)}
        case "multilabel":
            rows = random.standard_normal((COUNT, 12))
            arrays = {"x": rows, "y": (rows[:, :3] > 0.2).astype(np.uint8)}
            arrays["classes"] = np.array(["red", "green", "blue"])
        case "regression":
            rows = random.standard_normal((COUNT, 12))
            arrays = {"x": rows, "y": rows[:, :4].sum(axis=1).astype(np.float32)}
        case "segmentation":
            images = random.integers(0, 256, (COUNT, 4, 6, 1)).astype(np.uint8)
            arrays = {"images": images, "y": (images[..., 0] > 127).astype(np.uint8)}
            arrays["classes"] = np.array(["dark", "bright"])
        case "image":
            images = random.standard_normal((COUNT, 2, 4, 6))
            arrays = {"x": images, "y": images[:, :1] - images[:, 1:]}
    np.savez(path, **arrays)
    return path


def dense(features: int, classes: int) -> nn.Module:
    return nn.Sequential(
        StochasticSign(),
        BinaryLinear(features, 32),
        nn.BatchNorm1d(32),
        StochasticSign(),
        BinaryLinear(32, 16),
        nn.BatchNorm1d(16),
        nn.Linear(16, classes),
    )


def signals(channels: int, length: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), dense(channels * length, classes))


def dense_softmax(channels: int, length: int, classes: int) -> nn.Module:
    return nn.Sequential(signals(channels, length, classes), nn.Softmax(dim=1))


def dense_sigmoid(features: int, classes: int) -> nn.Module:
    return nn.Sequential(dense(features, classes), nn.Sigmoid())


def pixels(channels: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 1),
        nn.BatchNorm2d(8),
        StochasticSign(),
        BinaryConv2d(8, 16, 3, padding=1, padding_value=1.0),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, classes, 1),
    )


class TwoAnswers(nn.Module):
    """Answers, and besides the sum of its input."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.network = dense(features, classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"answer": self.network(x), "sums": x.sum(1)}


NETWORKS = {
    "classification": "signals",
    "multilabel": "dense",
    "regression": "dense",
    "segmentation": "pixels",
    "image": "pixels",
}
