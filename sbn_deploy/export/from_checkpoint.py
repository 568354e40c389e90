"""Materialised networks straight from a checkpoint, with inputs to try them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sbn_converters.onnx.noise import Draw
from sbn_deploy import data, tasks
from sbn_deploy.materialize import Form, materialize, stochastic_signs
from sbn_deploy.networks import example
from sbn_deploy.nn.header import Header
from sbn_deploy.train import checkpoint
from sbn_deploy.train.head import Head
from sbn_runtime.errors import ArtifactError, ConfigError, MissingDependencyError

from .answers import in_kernels


@dataclass(frozen=True)
class Materialized:
    """Members of an ensemble and the header of the checkpoint they come from.

    `recorded_scores` are the test scores that training found for the same members,
    if it tried them, by the keys of the task's metrics. `stochastic` says how the signs of which
    modules are sampled; empty for deterministic activations. `digests` are those of the training
    images, None where the checkpoint does not have them.
    """

    members: list[nn.Module]
    meta: Header
    recorded_scores: dict[str, float] | None = None
    stochastic: dict[str, Draw] = field(default_factory=dict)
    digests: NDArray[np.uint64] | None = None

    @property
    def example(self) -> Tensor:
        """Two valid inputs, float32 [2, C, H, W] or [2, ...]."""
        return self._random_inputs(2, seed=0)

    @property
    def task(self) -> str:
        """What the network was trained for, a name of `sbn_deploy.tasks`."""
        return self.meta.task

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy of the averaged probabilities on the test split, in [0, 1]; see `test_scores`.

        None, too, for a task without classes.
        """
        scores = self.test_scores
        return None if scores is None else scores.get("accuracy")

    @cached_property
    def test_scores(self) -> dict[str, float] | None:
        """The metrics of the averaged answers on the test split, by their keys.

        Where the data is not available: what training recorded, or None.
        """
        test = self._test_images()
        if test is None:
            return self.recorded_scores
        one = torch.from_numpy(test.take(np.arange(1)).inputs())
        head = Head.of(lambda: self.members[0](one), tasks.find(test.task))
        return head.objective.scores(in_kernels(self.members, test, head), test.labels)

    def sample_inputs(self, count: int, seed: int) -> tuple[NDArray[np.float32], str]:
        """Inputs float32 [N, C, H, W] or [N, ...], N <= count, and what they are.

        Test images chosen by `seed`, or random ones where the data is not available.
        """
        test = self._test_images()
        if test is None:
            return self._random_inputs(count, seed).numpy(), f"{count} random images"
        chosen = test.sample(count, seed)
        return chosen.inputs(), f"{len(chosen)} test images of {test.name}"

    def _test_images(self) -> data.Dataset | None:
        try:
            form = data.ImageForm.of(self.meta.preprocess)
            test = data.load(self.meta.data, "test", form).for_task(self.task)
        except (ConfigError, MissingDependencyError):
            return None
        expected = example.shapes_of_inputs(self.meta.preprocess)[0][1:]
        if test.input_shape != tuple(expected):
            raise ArtifactError(
                f"{test.name} has inputs of {list(test.input_shape)}, but the checkpoint was"
                f" trained on it with {list(expected)}; rename the data, or train again"
            )
        return test

    def _random_inputs(self, count: int, seed: int) -> Tensor:
        preprocess = self.meta.preprocess
        shapes = example.shapes_of_inputs(preprocess)
        (inputs,) = example.inputs(shapes, preprocess, count=count, seed=seed)
        return inputs


def materialize_checkpoint(
    path: str | Path,
    form: Form = Form(),  # noqa: B008 (frozen)
) -> Materialized:
    """`materialize` for the network of a checkpoint file.

    Where the checkpoint holds calibration images, the batch-norm statistics of
    each member are estimated again from them; not for stochastic activations,
    with which they were estimated in training.

    Raises:
        ArtifactError: a file that is missing, damaged, or not a checkpoint.
        ConfigError: an argument is out of range.
    """
    model, meta, kept = checkpoint.load_all(path)
    calibration = None
    if kept.calibration is not None and not form.stochastic:
        inputs = meta.preprocess.apply(kept.calibration)  # type: ignore[arg-type]
        calibration = torch.from_numpy(inputs)
    made = materialize(
        model,
        weights=form.weights,
        members=form.members,
        seed=form.seed,
        calibration=calibration,
    )
    stochastic = stochastic_signs(model) if form.stochastic else {}
    return Materialized(made, meta, _recorded(meta, form), stochastic, kept.digests)


def _recorded(meta: Header, form: Form) -> dict[str, float] | None:
    """The scores in the header of a checkpoint for the very same members."""
    scores = meta.metrics
    if form.weights == "threshold":
        found = scores.get("thresholded", scores.get("fp32"))
    else:
        found = scores.get("ensemble")
        if found and (found.get("members"), meta.seed) != (form.members, form.seed):
            found = None
    if not found:
        return None
    return {key: float(value) for key, value in found.items() if key != "members"}
