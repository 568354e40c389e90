"""Describes what will be trained, how long it should take, and how much memory it needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sbn_deploy.data import Dataset
from sbn_deploy.data.form import size_text
from sbn_deploy.data.stored import stored_images
from sbn_deploy.train.distributed import Ranks
from sbn_deploy.train.precision import has_bfloat16
from sbn_deploy.train.prepare import Prepared
from sbn_deploy.train.trainer import Trainer
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.tasks import CLASSIFICATION

TIMED = 2
UNEVEN = 2
"""Ratio of largest to smallest class from which a message is shown."""
MANY = 12
UNUSED = 8
"""A message is shown if more than one in this many images is not trained on."""


def plan(
    ready: Prepared, validation: Dataset | None, test: Dataset, trainer: Trainer
) -> Iterator[str]:
    """Lines for people. Times a few steps, which change nothing."""
    config, images = ready.config, ready.images
    inputs = "images" if images.pixels else "inputs"
    yield f"training: {_counts(images)}"
    if validation is not None:
        yield f"validation: {_counts(validation)}"
    yield f"test: {_counts(test)}"
    if validation is not None:
        what = ""
    elif config.calibrate:
        what = f"; validation {inputs} are left for calibration"
    else:
        what = f"; validation {inputs} are trained on as well"
    yield f"split: {images.divided}{what}"
    yield from images.notes
    if isinstance(images.preprocess, Preprocess):
        shown = images.preprocess
        colour = "grey" if shown.channels == 1 else "RGB" if shown.channels == 3 else ""
        yield (
            f"images: {size_text(shown.height, shown.width)}, {colour or shown.channels}; others"
            f" are fitted by {shown.fit}"
        )
    parameters = sum(parameter.numel() for parameter in ready.built.module.parameters())
    why = "" if ready.named else ", chosen by the inputs (--arch names another)"
    kind = "fp32 twin" if config.twin else "stochastic binary"
    yield f"network: {ready.built.reference}{why}: {parameters:,} parameters, {kind}"
    left = config.epochs - trainer.position.epoch
    steps = left * trainer.steps - trainer.position.step
    stop = f", fewer if {config.patience} bring nothing" if config.patience else ""
    yield (
        f"steps: {trainer.steps:,} an epoch, of {config.batch_size} {inputs} each; {left:,} epochs"
        f" to go{stop}"
    )
    unused = len(images) - trainer.steps * config.batch_size
    if unused >= len(images) / UNUSED:
        parts = config.gradient_accumulation
        smaller = len(images) // (trainer.steps + 1) // parts * parts
        yield (
            f"the last {unused:,} {inputs} of each epoch are left out because they do not fill a"
            f" batch; --set batch_size={smaller} uses nearly all"
        )
    stored = stored_images(images)
    if stored is not None:
        yield (
            "images are read from storage in each epoch; in memory they would take"
            f" {stored.nbytes / 1e6:,.0f} MB"
        )
    if trainer.group.count == 1 and steps > 0:
        cost = measured(trainer)
        yield _expected(trainer, cost, steps)
        if config.precision == "bfloat16" and not has_bfloat16(trainer.device):
            yield (
                "bfloat16 is slow here, because this CPU has no instructions for it; --set"
                " precision=auto uses it only where it is fast"
            )
        if stored is not None:
            yield (
                f"reading: {cost.reading * 1e3:,.0f} ms for the images of a step, divided among"
                f" {cost.readers} processes; computing: {cost.computing * 1e3:,.0f} ms"
            )
    if images.task == CLASSIFICATION and not config.class_weights:
        sizes = np.bincount(images.labels, minlength=len(images.classes))
        if sizes.max() >= UNEVEN * max(1, sizes.min()):
            yield (
                f"class sizes are uneven, {sizes.min():,} to {sizes.max():,}: look at the"
                " balanced accuracy; --set class_weights=true gives them equal weight"
            )


def expected(ready: Prepared, group: Ranks) -> str:
    """What `plan` will say of the cost of training that begins later.

    A teacher that is yet to be trained is left out. Times a few steps, which change nothing.
    """
    config = ready.config.model_copy(update={"distill": False, "tensorboard": False})
    trainer = Trainer(ready.built.module, ready.head, ready.images, None, config, group)
    try:
        return _expected(trainer, measured(trainer), config.epochs * trainer.steps)
    finally:
        trainer.images.close()


def _expected(trainer: Trainer, cost: Cost, steps: int) -> str:
    return (
        f"expected: {duration(cost.seconds * steps)} to train, at {cost.seconds * 1e3:,.0f} ms a"
        f" step on {_where(trainer)} in {trainer.config.precision};"
        f" {cost.memory / 1e6:,.0f} MB of memory besides torch itself"
    )


@dataclass(frozen=True)
class Cost:
    """What a step costs.

    Attributes:
        computing: seconds, without reading images from storage.
        reading: seconds that one process takes to read the images; 0 from memory.
        readers: processes that read them.
        memory: bytes of images, parameters, moments and activations.
    """

    computing: float
    reading: float
    readers: int
    memory: int

    @property
    def seconds(self) -> float:
        """Of a step while the images of others are read; by what takes longer."""
        if not self.readers:
            return self.computing + self.reading
        return max(self.computing, self.reading / self.readers)


def measured(trainer: Trainer) -> Cost:
    """Takes a few steps, which change nothing."""
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with trainer.unchanged():
        times, reading = [], []
        for index in range(1 + TIMED):
            start = time.perf_counter()
            read = trainer.images.seconds_read
            if index:
                trainer.step()
            else:  # the first is slower, and counts what is kept for the gradients
                with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                    trainer.step()
            reading.append(trainer.images.seconds_read - read)
            times.append(time.perf_counter() - start - reading[-1])
    parameters = [parameter.nbytes for parameter in trainer.model.parameters()]
    # Their gradients and two moments; a running mean; what is saved of them.
    copies = 4 + (trainer.live.ema is not None)
    size = copies * sum(parameters) + sum(saved.values()) + trainer.images.nbytes
    return Cost(min(times[1:]), min(reading[1:]), trainer.images.readers, size)


def duration(seconds: float) -> str:
    """About how long, for people."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    if seconds < 36 * 3600:
        return f"about {seconds / 3600:.1f} h"
    return f"about {seconds / 86400:.1f} days"


def _counts(part: Dataset) -> str:
    inputs = "images" if part.pixels else "inputs"
    text = f"{len(part):,} {inputs} of {part.name}"
    if part.task != CLASSIFICATION:
        return f"{text}, task {part.task}"
    sizes = np.bincount(part.labels, minlength=len(part.classes))
    if len(part.classes) > MANY:
        return f"{text}, {sizes.min():,} to {sizes.max():,} in each of {len(part.classes)} classes"
    each = ", ".join(f"{name} {size:,}" for name, size in zip(part.classes, sizes, strict=True))
    return f"{text} in {len(part.classes)} classes: {each}"


def _where(trainer: Trainer) -> str:
    threads = trainer.config.threads
    if trainer.device.type == "cuda":
        return str(torch.cuda.get_device_name(trainer.device))
    return f"{threads} thread{'s' if threads > 1 else ''}"
