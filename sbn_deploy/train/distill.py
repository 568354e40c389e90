"""Learning from a teacher network as well as from labels."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.networks import build, load_into
from sbn_deploy.networks.loading import header_of
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.given import given
from sbn_deploy.train.head import Head, first
from sbn_runtime.errors import ConfigError, MissingDependencyError

TORCHVISION = "torchvision:"


class Loss:
    """The loss of the task, and the distance from the teacher's answers if there is one.

    For classes (1 - w) CE(labels) + w T^2 KL(teacher, network), both at temperature T in
    the second term; T^2 keeps the size of its gradient.
    """

    def __init__(
        self,
        config: TrainConfig,
        teacher: nn.Module | None,
        head: Head,
        class_weights: Tensor | None = None,
    ) -> None:
        self.objective = head.objective
        self.smoothing = config.label_smoothing
        self.weight = config.teacher_weight
        self.temperature = config.teacher_temperature
        self.teacher = teacher
        self.class_weights = class_weights

    def __call__(self, output: Tensor, x: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over inputs x [N, ...], with the network's raw output [N, ...]."""
        loss = self.objective.loss(output, targets, self.smoothing, self.class_weights)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = first(self.teacher(x)).float()
        distance = self.objective.distance(output, wanted, self.temperature)
        return (1 - self.weight) * loss + self.weight * distance


def load_teacher(config: TrainConfig, images: Dataset, device: torch.device) -> nn.Module | None:
    """The network that `config` names, in evaluation mode, or none.

    Raises:
        ArtifactError: a missing or damaged file, or one of another architecture.
        ConfigError: an unknown architecture, or answers of another shape.
        MissingDependencyError: torchvision is needed and missing.
    """
    path = config.taught_by
    if path is None:
        return None
    teacher = _teacher(path, config, images)
    teacher = teacher.eval().requires_grad_(False).to(device)
    example = torch.from_numpy(images.preprocess.apply(images.images[:2])).to(device)
    try:
        found = first(teacher(example)).shape[1:]
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the teacher {path} does not take {images.name}: {reason}") from error
    if images.task == "classification" and len(found) == 1 and found[0] != len(images.classes):
        raise ConfigError(
            f"the teacher {path} has {found[0]} classes, {images.name} has "
            f"{len(images.classes)}; use a teacher trained on the same classes"
        )
    if found.numel() != math.prod(images.output_shape):
        raise ConfigError(
            f"the teacher {path} answers {['N', *found]}, but {images.name} needs"
            f" {['N', *images.output_shape]}; use a teacher trained for the same task"
        )
    return teacher


def _teacher(path: Path, config: TrainConfig, images: Dataset) -> nn.Module:
    """The network of a checkpoint of ours, or of a state dict as `config` says."""
    arch = config.teacher_arch
    if not arch and (not config.distill or header_of(path)):
        return checkpoint.load(path)[0]
    if not arch and config.arch not in models.names():
        raise ConfigError(
            f"{path} does not record its network; set teacher_arch, for example to FILE.py:NAME"
        )
    teacher = _built(arch or config.arch, config, images)
    load_into(teacher, path)
    return teacher


def _built(arch: str, config: TrainConfig, images: Dataset) -> nn.Module:
    if not arch.startswith(TORCHVISION):
        twin = arch in models.names()
        settings = config.model if arch == config.arch else {}
        return build(arch, settings, offered=given(images, arch), twin=twin).module
    try:
        from torchvision.models import get_model
    except ImportError as error:
        raise MissingDependencyError(
            f"teacher_arch {arch!r} needs torchvision; `pip install torchvision`"
        ) from error
    try:
        teacher: nn.Module = get_model(
            arch.removeprefix(TORCHVISION), num_classes=math.prod(images.output_shape[:1])
        )
    except ValueError as error:
        raise ConfigError(f"torchvision has no model {arch!r}: {error}") from error
    return teacher
