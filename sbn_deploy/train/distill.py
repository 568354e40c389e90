"""Learning from a teacher network as well as from labels."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.head import Head, first
from sbn_runtime.errors import ArtifactError, ConfigError, MissingDependencyError

TORCHVISION = "torchvision:"


class Loss:
    """The loss of the task, and the distance from the teacher's answers if there is one.

    For classes (1 - w) CE(labels) + w T^2 KL(teacher, network), both at temperature T in
    the second term; T^2 keeps the size of its gradient.
    """

    def __init__(self, config: TrainConfig, teacher: nn.Module | None, head: Head) -> None:
        self.objective = head.objective
        self.smoothing = config.label_smoothing
        self.weight = config.teacher_weight
        self.temperature = config.teacher_temperature
        self.teacher = teacher

    def __call__(self, output: Tensor, x: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over inputs x [N, ...], with the network's raw output [N, ...]."""
        loss = self.objective.loss(output, targets, self.smoothing)
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
    if config.teacher is None:
        return None
    if config.teacher_arch:
        teacher = _of_state_dict(config.teacher, config.teacher_arch, images)
    else:
        teacher, _ = checkpoint.load(config.teacher)
    teacher = teacher.eval().requires_grad_(False).to(device)
    example = torch.from_numpy(images.preprocess.apply(images.images[:2])).to(device)
    try:
        found = first(teacher(example)).shape[1:]
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the teacher {config.teacher} does not take {images.name}: {reason}"
        ) from error
    if images.task == "classification" and len(found) == 1 and found[0] != len(images.classes):
        raise ConfigError(
            f"the teacher {config.teacher} tells {found[0]} classes apart, {images.name} has "
            f"{len(images.classes)}; use a teacher trained on the same classes"
        )
    if found.numel() != math.prod(images.output_shape):
        raise ConfigError(
            f"the teacher {config.teacher} answers {['N', *found]}, but {images.name} needs"
            f" {['N', *images.output_shape]}; use a teacher trained for the same task"
        )
    return teacher


def _of_state_dict(path: Path, arch: str, images: Dataset) -> nn.Module:
    classes = math.prod(images.output_shape[:1])
    teacher: nn.Module
    if arch.startswith(TORCHVISION):
        try:
            from torchvision.models import get_model
        except ImportError as error:
            raise MissingDependencyError(
                f"teacher_arch {arch!r} needs torchvision; `pip install torchvision`"
            ) from error
        try:
            teacher = get_model(arch.removeprefix(TORCHVISION), num_classes=classes)
        except ValueError as error:
            raise ConfigError(f"torchvision has no model {arch!r}: {error}") from error
    else:
        channels, *sizes = images.input_shape
        teacher = models.create_twin(arch, channels=channels, size=sizes[-1], classes=classes)
    try:
        state = load_file(path)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged or no safetensors file: {error}") from error
    models.load_state(teacher, state, path)
    return teacher
