"""Learning from a teacher network as well as from labels."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_runtime.errors import ArtifactError, ConfigError, MissingDependencyError

TORCHVISION = "torchvision:"


class Loss:
    """Cross-entropy with labels, and with the teacher's probabilities if there is one.

    (1 - w) CE(labels) + w T^2 KL(teacher, network), both at temperature T in the
    second term; T^2 keeps the size of its gradient.
    """

    def __init__(self, config: TrainConfig, teacher: nn.Module | None) -> None:
        self.smoothing = config.label_smoothing
        self.weight = config.teacher_weight
        self.temperature = config.teacher_temperature
        self.teacher = teacher

    def __call__(self, logits: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        """The mean loss over inputs x [N, C, H, W], logits [N, K] and labels [N]."""
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = (self.teacher(x).float() / self.temperature).log_softmax(1)
        found = (logits / self.temperature).log_softmax(1)
        distance = F.kl_div(found, wanted, log_target=True, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * self.temperature**2 * distance


def load_teacher(config: TrainConfig, images: Dataset, device: torch.device) -> nn.Module | None:
    """The network that `config` names, in evaluation mode, or none.

    Raises:
        ArtifactError: a missing or damaged file, or one of another architecture.
        ConfigError: an unknown architecture, or another number of classes.
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
        classes = teacher(example).shape[1]
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the teacher {config.teacher} does not take {images.name}: {reason}"
        ) from error
    if classes != len(images.classes):
        raise ConfigError(
            f"the teacher {config.teacher} tells {classes} classes apart, {images.name} has "
            f"{len(images.classes)}; use a teacher trained on the same classes"
        )
    return teacher


def _of_state_dict(path: Path, arch: str, images: Dataset) -> nn.Module:
    shape, classes = images.preprocess, len(images.classes)
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
        teacher = models.create_twin(
            arch, channels=shape.channels, size=shape.height, classes=classes
        )
    try:
        state = load_file(path)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged or no safetensors file: {error}") from error
    models.load_state(teacher, state, path)
    return teacher
