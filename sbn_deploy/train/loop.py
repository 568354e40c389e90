"""Train a network of the registry on a data set and write checkpoint and metrics."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sbn_deploy import data
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import models, storage
from sbn_deploy.nn.models import Network
from sbn_deploy.train import checkpoint
from sbn_deploy.train.augment import random_shift
from sbn_deploy.train.evaluation import evaluate
from sbn_deploy.train.optim import MirrorDescent, split_parameters
from sbn_deploy.train.progress import progress
from sbn_runtime.errors import ConfigError

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.json"
ENSEMBLE = 8


@dataclass(frozen=True)
class TrainConfig:
    """What to train and how. The defaults are the recipe for the digits.

    arch, data: names of the registries.
    out: folder for the results; made if it does not exist.
    twin: train the fp32 twin instead of the stochastic binary network.
    seed: fixes initial values, order, augmentation and all noise, >= 0.
    epochs: passes over the training images, >= 1.
    batch_size: images in a step, >= 2; the last incomplete batch is left out.
    latent_step: step of mirror descent on the latents, > 0.
    weight_step: Adam step on the weights of the twin, > 0.
    step: Adam step on the other parameters (batch-norm), > 0.
    shift: images are shifted by up to so many pixels at random, >= 0.
    threads: CPU threads, >= 1. Small networks are fastest on one, and results
        then do not depend on the number of cores.

    All steps fall to zero along half a cosine.

    Raises:
        ConfigError: a number is out of range.
    """

    out: Path
    arch: str = "digits-cnn"
    data: str = "digits"
    twin: bool = False
    seed: int = 0
    epochs: int = 100
    batch_size: int = 64
    latent_step: float = 1.0
    weight_step: float = 1e-3
    step: float = 0.01
    shift: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        minima = {"seed": 0, "epochs": 1, "batch_size": 2, "shift": 0, "threads": 1}
        for name, least in minima.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("latent_step", "weight_step", "step"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}; it must be positive")


@dataclass(frozen=True)
class TrainResult:
    """Where the checkpoint is, and the contents of metrics.json."""

    checkpoint_path: Path
    metrics: dict[str, Any]


def train(config: TrainConfig) -> TrainResult:
    """Train on the train and validation images; score on the test images.

    Writes `checkpoint.safetensors` and `metrics.json` to `config.out`. On a CPU
    the same configuration gives the same checkpoint, bit for bit. The caller's
    random generator is left as it was.

    Raises:
        ConfigError: unknown names, too few images for a batch, a folder that
            cannot be written to, or a loss that is not finite.
    """
    images = data.load(config.data, "train+validation")
    if len(images) < config.batch_size:
        raise ConfigError(
            f"batch_size is {config.batch_size}, but {images.name} has only {len(images)} "
            "training images"
        )
    inputs = torch.from_numpy(images.inputs())
    labels = torch.from_numpy(images.labels)
    with _threads(config.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _create(config, images)
        storage.check_writable(config.out)
        history = _fit(model, inputs, labels, _background(images), config)
        model.eval()
        scores = _score(model, data.load(config.data, "test"), config.seed)
    seconds = sum(epoch["seconds"] for epoch in history)
    seen = config.epochs * _steps(config, len(images)) * config.batch_size
    meta = {
        "data": images.name,
        "classes": list(images.classes),
        "preprocess": images.preprocess.to_json(),
        "metrics": scores,
        "seed": config.seed,
    }
    metrics = {
        **meta,
        "arch": model.arch,
        "kind": model.kind,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "recipe": asdict(config) | {"out": str(config.out)},
        "train_seconds": seconds,
        "images_per_second": seen / seconds,
        "history": history,
    }
    path = config.out / CHECKPOINT
    checkpoint.save(path, model, meta)
    storage.write_bytes(config.out / METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    return TrainResult(path, metrics)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _create(config: TrainConfig, images: data.Dataset) -> Network:
    shape = images.preprocess
    if shape.height != shape.width:
        raise ConfigError(
            f"{images.name} has images of {shape.height}x{shape.width}; use square ones"
        )
    make = models.create_twin if config.twin else models.create
    return make(
        config.arch, channels=shape.channels, size=shape.height, classes=len(images.classes)
    )


def _background(images: data.Dataset) -> Tensor:
    """The normalised value of a pixel of value zero, per channel [C]."""
    blank = images.preprocess.apply(np.zeros_like(images.images[:1]))
    return torch.from_numpy(blank)[0, :, 0, 0]


def _optimizers(model: Network, config: TrainConfig) -> list[Optimizer]:
    latents, others = split_parameters(model)
    if latents:
        return [MirrorDescent(latents, lr=config.latent_step), Adam(others, lr=config.step)]
    # Weights of the twin are matrices and kernels, batch-norm parameters vectors.
    weights = [parameter for parameter in others if parameter.ndim > 1]
    vectors = [parameter for parameter in others if parameter.ndim == 1]
    return [Adam(weights, lr=config.weight_step), Adam(vectors, lr=config.step)]


def _steps(config: TrainConfig, images: int) -> int:
    return images // config.batch_size


def _fit(
    model: Network, inputs: Tensor, labels: Tensor, background: Tensor, config: TrainConfig
) -> list[dict[str, float]]:
    """Train in place; one record per epoch: loss, training accuracy, seconds."""
    steps = _steps(config, len(inputs))
    optimizers = _optimizers(model, config)
    schedules = [
        LambdaLR(
            optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / (steps * config.epochs))
        )
        for optimizer in optimizers
    ]
    history: list[dict[str, float]] = []
    model.train()
    with progress(f"{config.arch} {model.kind}", config.epochs) as report:
        for _ in range(config.epochs):
            start = time.perf_counter()
            total = torch.zeros(())
            correct = torch.zeros((), dtype=torch.int64)
            for batch in torch.split(torch.randperm(len(inputs)), config.batch_size)[:steps]:
                x, y = random_shift(inputs[batch], config.shift, background), labels[batch]
                logits = model(x)
                loss = F.cross_entropy(logits, y)
                for optimizer in optimizers:
                    optimizer.zero_grad()
                torch.autograd.backward(loss)
                for optimizer, schedule in zip(optimizers, schedules, strict=True):
                    optimizer.step()
                    schedule.step()
                total += loss.detach()
                correct += (logits.argmax(1) == y).sum()
            record = {
                "loss": total.item() / steps,
                "accuracy": correct.item() / (steps * config.batch_size),
                "seconds": time.perf_counter() - start,
            }
            if not math.isfinite(record["loss"]):
                raise ConfigError(
                    f"the loss is {record['loss']} in epoch {len(history) + 1}; use smaller steps"
                )
            history.append(record)
            report(f"loss {record['loss']:.4f} accuracy {record['accuracy']:.3f}")
    return history


def _score(model: Network, images: data.Dataset, seed: int) -> dict[str, dict[str, float]]:
    """Scores on `images` by what is deployed: the twin, or thresholded and ensemble."""
    inputs, labels = torch.from_numpy(images.inputs()), torch.from_numpy(images.labels)
    if model.kind == "fp32":
        return {"fp32": asdict(evaluate([model], inputs, labels))}
    threshold = materialize(model)
    ensemble = materialize(model, weights="sample", members=ENSEMBLE, seed=seed)
    return {
        "thresholded": asdict(evaluate(threshold, inputs, labels)),
        "ensemble": {"members": ENSEMBLE, **asdict(evaluate(ensemble, inputs, labels))},
    }
