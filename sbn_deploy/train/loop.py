"""Train a network of the registry on a data set and write checkpoint and metrics."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sbn_deploy import data
from sbn_deploy.networks import Built, build, names_code, user_error
from sbn_deploy.nn import storage
from sbn_deploy.nn.threads import threads
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distributed import Ranks, ranks
from sbn_deploy.train.images import Normalize
from sbn_deploy.train.score import score
from sbn_deploy.train.state import STATE, Saved, check_disk
from sbn_deploy.train.trainer import Stopped, Trainer
from sbn_runtime.errors import ConfigError
from sbn_runtime.files import check_writable, write_atomically

__all__ = ["CHECKPOINT", "METRICS", "Stopped", "TrainConfig", "TrainResult", "train"]

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.json"


@dataclass(frozen=True)
class TrainResult:
    """Where the checkpoint is, and the contents of metrics.json."""

    checkpoint_path: Path
    metrics: dict[str, Any]


def train(config: TrainConfig, *, resume: bool = False) -> TrainResult:
    """Train, and score on the test images.

    Writes `checkpoint.safetensors`, `metrics.json` and `history.csv` to
    `config.out`; while training goes on, its state is there too, renewed after
    each epoch. On a CPU the same configuration gives the same checkpoint, bit for
    bit, whether or not training was stopped and resumed in between. The
    caller's random generator is left as it was.

    Args:
        resume: go on with the run in `config.out`; settings that are not given
            are taken from it. Where there is none, training starts; where it has
            finished, its result is returned.

    Raises:
        ConfigError: unknown names, settings that contradict each other or the
            data, a folder that cannot be written to, too little disk, or numbers
            that are no longer finite.
        ArtifactError: a state or a teacher that cannot be read.
        Stopped: SIGTERM came; the state is saved.
    """
    saved = None
    if resume and (config.out / STATE).exists():
        saved = Saved(config.out / STATE)
        config = saved.configuration(config)
    elif resume and (config.out / CHECKPOINT).exists() and (config.out / METRICS).exists():
        return TrainResult(
            config.out / CHECKPOINT, json.loads((config.out / METRICS).read_text(encoding="utf-8"))
        )
    with threads(config.threads), ranks(config) as group, _own_generators(group):
        return _train(config, group, saved)


def _train(config: TrainConfig, group: Ranks, saved: Saved | None) -> TrainResult:
    images = data.load(config.data, "train" if config.validation else "train+validation")
    if len(images) < config.batch_size:
        raise ConfigError(
            f"batch_size is {config.batch_size}, but {images.name} has only {len(images)} "
            "training images"
        )
    torch.manual_seed(config.seed)
    built = _create(config, images)
    model = built.module
    check_writable(config.out)
    if group.first:
        storage.remove_leftovers(config.out)
    check_disk(config.out, model)
    validation = data.load(config.data, "validation") if config.validation else None
    trainer = Trainer(model, images, validation, config, group)
    if saved is not None:
        trainer.restore(saved)
    trainer.fit()

    path = config.out / CHECKPOINT
    if not group.first:
        return TrainResult(path, {})
    model.cpu().eval()
    calibration = trainer.images.evenly(config.calibration) if config.calibration else None
    cpu = torch.device("cpu")
    scores = score(
        model,
        data.load(config.data, "test"),
        members=config.members,
        seed=config.seed,
        calibration=None
        if calibration is None
        else Normalize(images.preprocess, cpu)(calibration.permute(0, 3, 1, 2).contiguous()),
    )
    history = trainer.position.history
    seconds = sum(epoch["seconds"] for epoch in history)
    meta = {
        "data": images.name,
        "classes": list(images.classes),
        "preprocess": images.preprocess.to_json(),
        "metrics": scores,
        "seed": config.seed,
    }
    metrics = {
        **meta,
        "arch": built.reference,
        "kind": built.kind,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        # Without what is true of this machine only.
        "recipe": config.model_dump(mode="json", exclude={"out"}) | {"data": images.name},
        "train_seconds": seconds,
        "images_per_second": len(history) * trainer.steps * config.batch_size / seconds,
        "history": history,
    }
    checkpoint.save(path, built, meta, None if calibration is None else calibration.numpy())
    write_atomically(config.out / METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    (config.out / STATE).unlink(missing_ok=True)
    return TrainResult(path, metrics)


@contextlib.contextmanager
def _own_generators(group: Ranks) -> Iterator[None]:
    devices = [group.device] if group.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _create(config: TrainConfig, images: data.Dataset) -> Built:
    shape = images.preprocess
    if shape.height != shape.width:
        raise ConfigError(
            f"{images.name} has images of {shape.height}x{shape.width}; use square ones"
        )
    given = {"channels": shape.channels, "size": shape.height, "classes": len(images.classes)}
    for key in sorted(given.keys() & config.model.keys()):
        if config.model[key] != given[key]:
            raise ConfigError(
                f"model.{key} is {config.model[key]}, but {images.name} has {given[key]}; "
                "leave it out"
            )
    built = build(config.arch, config.model, offered=given, twin=config.twin)
    model = built.module
    if names_code(config.arch):
        _check_fits(built, images)
    if not math.isclose(config.norm_scale, 1):
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                torch.nn.init.constant_(module.weight, config.norm_scale)
    return built


def _check_fits(built: Built, images: data.Dataset) -> None:
    """Raises ConfigError unless the network takes the images and tells their classes apart."""
    example = torch.from_numpy(images.preprocess.apply(images.images[:2]))
    shape = list(example.shape)
    try:
        with torch.no_grad():
            found = built.module(example)
    except Exception as error:
        what = f"{built.reference}, given {images.name} as {shape},"
        raise user_error(what, error) from error
    if next(built.module.parameters(), None) is None:
        raise ConfigError(f"{built.reference} has no parameters to train")
    wanted = [len(example), len(images.classes)]
    if not isinstance(found, torch.Tensor) or list(found.shape) != wanted:
        answer = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise ConfigError(
            f"{built.reference} answers {answer} to {shape}; training on {images.name} needs"
            f" logits {wanted}"
        )
