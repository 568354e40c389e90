"""What training begins with: the data and where they are, the network, what its output means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sbn_deploy import data, tasks
from sbn_deploy.networks import Built, build, trial
from sbn_deploy.networks.loading import header_of
from sbn_deploy.system import host
from sbn_deploy.train import precision
from sbn_deploy.train.choose import choose
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distributed import device_of
from sbn_deploy.train.given import given
from sbn_deploy.train.head import Head, first
from sbn_deploy.train.start import start_from
from sbn_deploy.train.state import Saved
from sbn_runtime.errors import ConfigError
from sbn_runtime.tasks import CLASSIFICATION

SHARE = 8
"""Images of more than one in this many bytes of memory stay in storage."""


@dataclass(frozen=True)
class Prepared:
    """What training begins with.

    Attributes:
        config: with a network, and with what it left open chosen.
        images: to train on.
        built: the network with its initial parameters.
        head: what its output means.
        named: whether the network was asked for.
    """

    config: TrainConfig
    images: data.Dataset
    built: Built
    head: Head
    named: bool


def prepare(config: TrainConfig, saved: Saved | None = None) -> Prepared:
    """The data, and the network as training begins. Raises as `train`."""
    config, images = _training_images(config)
    if len(images) < config.batch_size:
        smaller = 2 ** max(1, (len(images) // 4).bit_length() - 1)
        raise ConfigError(
            f"batch_size is {config.batch_size}, but {images.name} has only {len(images)} "
            f"training images; give a smaller one, as --set batch_size={smaller}"
        )
    named = bool(config.arch)
    config = with_network(config, images)
    torch.manual_seed(config.seed)
    built = _create(config, images)
    if config.start_from is not None and saved is None:
        start_from(built.module, config.start_from)
    head = _head(built, images)
    if config.label_smoothing and not head.objective.smoothed:
        raise ConfigError(f"label_smoothing is for classes, but the task is {images.task}")
    if config.class_weights and not head.objective.weighted:
        raise ConfigError(f"class_weights is for classes, but the task is {images.task}")
    if config.precision == "auto":
        found = precision.chosen(built, _example(images), device_of(config))
        config = config.model_copy(update={"precision": found})
    return Prepared(config, images, built, head, named)


def split_of(config: TrainConfig) -> data.Split:
    """The part of the data that is trained on."""
    return "train" if config.validation or config.calibrate else "train+validation"


def _load(config: TrainConfig, split: data.Split, form: data.ImageForm) -> data.Dataset:
    if config.images == "storage":
        images = data.load_stored(config.data, split, form, config.workers)
    else:
        images = data.load(config.data, split, form)
    if not images.pixels and (config.size is not None or config.colour != "auto"):
        raise ConfigError(
            f"size and colour are for images, but {images.name} contains other numbers; leave"
            " them out"
        )
    return images.for_task(config.task) if config.task else images


def held_out(config: TrainConfig, images: data.Dataset, split: data.Split) -> data.Dataset:
    """The validation or test part. Raises ConfigError where it does not fit the training part."""
    part = _load(config, split, data.ImageForm.of(images.preprocess))
    if part.input_shape != images.input_shape:
        raise ConfigError(
            f"{part.name}: inputs for {split} are {_sides(part)}, those to train on"
            f" {_sides(images)} (channels first); give them one size"
        )
    if part.task == CLASSIFICATION:
        largest = int(part.labels.max())
        if largest >= len(images.classes):
            raise ConfigError(
                f"{part.name}: a label for {split} is {largest}, but those to train on are 0 to"
                f" {len(images.classes) - 1}"
            )
    elif part.output_shape != images.output_shape:
        raise ConfigError(
            f"{part.name}: targets for {split} are {list(part.output_shape)}, those to train on"
            f" {list(images.output_shape)}"
        )
    return part


def _sides(images: data.Dataset) -> str:
    return "x".join(map(str, images.input_shape))


def _training_images(config: TrainConfig) -> tuple[TrainConfig, data.Dataset]:
    """The images to train on, and the configuration with their place, memory or storage.

    Raises ConfigError for data or settings with which the one that is asked for cannot be, and
    what `data.load` raises.
    """

    def placed(place: str) -> tuple[TrainConfig, data.Dataset]:
        found = config.model_copy(update={"images": place})
        return found, _load(found, split_of(found), found.form)

    storable = data.stores(config.data)
    if (config.crop or config.images == "storage") and not storable:
        why = "crop" if config.crop else "images = 'storage'"
        raise ConfigError(
            f"{why} is for data sets of {', '.join(data.STORED)}, not for {config.data}"
        )
    if config.crop or config.images == "storage":
        return placed("storage")
    if config.images == "auto" and storable:
        found = placed("storage")
        if found[1].images.nbytes > host.memory_limit() // SHARE:
            return found
    return placed("memory")


def with_network(config: TrainConfig, images: data.Dataset) -> TrainConfig:
    """The configuration with a network, where it names none.

    That of the checkpoint to start from, with its settings, else one that suits the inputs.
    """
    if config.arch:
        return config
    header = header_of(config.start_from) if config.start_from is not None else None
    if header is None:
        return config.model_copy(update={"arch": choose(images)})
    settings = config.model
    if not settings:
        offered = given(images, header.arch)
        settings = {key: value for key, value in header.config.items() if key not in offered}
    return config.model_copy(update={"arch": header.arch, "model": settings})


def _create(config: TrainConfig, images: data.Dataset) -> Built:
    offered = given(images, config.arch)
    for key in sorted(offered.keys() & config.model.keys()):
        if config.model[key] != offered[key]:
            raise ConfigError(
                f"model.{key} is {config.model[key]}, but {images.name} has {offered[key]}; "
                "leave it out"
            )
    built = build(config.arch, config.model, offered=offered, twin=config.twin)
    model = built.module
    if not math.isclose(config.norm_scale, 1):
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                torch.nn.init.constant_(module.weight, config.norm_scale)
    return built


def _head(built: Built, images: data.Dataset) -> Head:
    """What the network's output means.

    Raises ConfigError unless it takes the inputs and answers as the targets need it.
    """
    example = _example(images)
    objective = tasks.find(images.task)
    answer = trial.answer(built, [example])
    try:
        found = list(first(answer).shape)
    except TypeError as error:
        raise ConfigError(f"{built.reference} {error}") from error
    if next(built.module.parameters(), None) is None:
        raise ConfigError(f"{built.reference} has no parameters to train")
    wanted = [len(example), *images.output_shape]
    if found != wanted and not (images.task == "regression" and _squeezed(found, wanted)):
        what = objective.task.raw or "an answer"
        raise ConfigError(
            f"{built.reference} gives {found} for inputs {list(example.shape)}; training on"
            f" {images.name} needs {what} {wanted}"
        )
    return Head.of(lambda: trial.answer(built, [example]), objective)


def _example(images: data.Dataset) -> Tensor:
    return torch.from_numpy(images.preprocess.apply(images.images[:2]))


def _squeezed(found: list[int], wanted: list[int]) -> bool:
    """Whether two shapes differ in axes of length 1 only: one number may have one of its own."""
    return [n for n in found[1:] if n > 1] == [n for n in wanted[1:] if n > 1]
