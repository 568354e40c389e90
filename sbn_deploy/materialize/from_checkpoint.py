"""Materialised networks straight from a checkpoint, with inputs to try them on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sbn_deploy import data
from sbn_deploy.materialize.materialize import Weights, materialize
from sbn_deploy.train import checkpoint
from sbn_deploy.train.evaluation import evaluate
from sbn_runtime.errors import ConfigError, MissingDependencyError
from sbn_runtime.preprocess import Preprocess


@dataclass(frozen=True)
class Materialized:
    """Members of an ensemble and the header of the checkpoint they come from."""

    members: list[nn.Module]
    meta: dict[str, Any]

    @property
    def example(self) -> Tensor:
        """Two valid inputs, float32 [2, C, H, W]."""
        return torch.from_numpy(self._random_inputs(2, seed=0))

    @cached_property
    def test_accuracy(self) -> float | None:
        """Accuracy of the averaged probabilities on the test split, in [0, 1].

        None where the data is not at hand.
        """
        test = self._test_images()
        if test is None:
            return None
        inputs, labels = torch.from_numpy(test.inputs()), torch.from_numpy(test.labels)
        return evaluate(self.members, inputs, labels).accuracy

    def sample_inputs(self, samples: int, seed: int) -> tuple[NDArray[np.float32], str]:
        """Inputs float32 [N, C, H, W], N <= samples, and what they are.

        Test images chosen by `seed`, or random ones where the data is not at hand.
        """
        test = self._test_images()
        if test is None:
            return self._random_inputs(samples, seed), f"{samples} random images"
        chosen = np.random.default_rng(seed).permutation(len(test))[:samples]
        return test.inputs()[chosen], f"{len(chosen)} test images of {test.name}"

    def _test_images(self) -> data.Dataset | None:
        try:
            return data.load(self.meta["data"], "test")
        except (ConfigError, MissingDependencyError):
            return None

    def _random_inputs(self, samples: int, seed: int) -> NDArray[np.float32]:
        shape = Preprocess.from_json(self.meta["preprocess"])
        pixels = np.random.default_rng(seed).integers(
            0,
            shape.pixel_max,
            (samples, shape.height, shape.width, shape.channels),
            dtype=np.uint8,
            endpoint=True,
        )
        return shape.apply(pixels)


def materialize_checkpoint(
    path: str | Path, *, weights: Weights = "threshold", members: int = 1, seed: int = 0
) -> Materialized:
    """`materialize` for the network of a checkpoint file.

    Raises:
        ArtifactError: missing, damaged or foreign file.
        ConfigError: an argument is out of range.
    """
    model, meta = checkpoint.load(path)
    return Materialized(materialize(model, weights=weights, members=members, seed=seed), meta)
