"""What a training step costs, against the fp32 twin: `python -m tests.tools.train_benchmark`.

Time is the median over steps taken in turns in one process; memory is the peak
of a process of its own, less what it held before its first step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.optim import Adam, Optimizer

from sbn_deploy.nn import models
from sbn_deploy.nn.threads import threads
from sbn_deploy.train.optim import MirrorDescent, split_parameters

MEMORY_STEPS = 3
# Kibibytes of the largest resident size so far, and of now, as Linux reports them.
PEAK, NOW = "VmHWM", "VmRSS"


def make_step(arch: str, *, twin: bool, batch: int, bfloat16: bool) -> Callable[[], None]:
    """A training step on random images, channels last."""
    torch.manual_seed(0)
    model = (models.create_twin if twin else models.create)(arch).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    latents, others = split_parameters(model)
    optimizers: list[Optimizer] = [Adam(others, lr=0.01)]
    if latents:
        optimizers.append(MirrorDescent(latents))
    shape = (batch, *models.input_shape(model.config))
    x = (2 * torch.randint(0, 256, shape) - 255) / 255
    x = x.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, model.config["classes"], (batch,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = F.cross_entropy(model(x).float(), labels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            optimizer.step()

    return step


def seconds(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each step, all of them in turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if index:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def _kibibytes(key: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def _grown(arch: str, twin: bool, batch: int, bfloat16: bool, cores: int) -> int:
    with threads(cores):
        step = make_step(arch, twin=twin, batch=batch, bfloat16=bfloat16)
        before = _kibibytes(NOW)
        for _ in range(MEMORY_STEPS):
            step()
    return _kibibytes(PEAK) - before


def memory(arch: str, *, twin: bool, batch: int, bfloat16: bool, cores: int) -> float:
    """Megabytes by which a new process grows at most in training steps."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (arch, twin, batch, bfloat16, cores)) * 1024 / 1e6


def main() -> None:
    """Prints time and memory of a step of the network and of its twin, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="cifar-vgg-s")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    variants = {
        "fp32 twin": {"twin": True, "bfloat16": False},
        "sbn": {"twin": False, "bfloat16": False},
        "sbn bfloat16": {"twin": False, "bfloat16": True},
    }
    with threads(options.threads):
        steps = {
            name: make_step(options.arch, batch=options.batch, **variant)
            for name, variant in variants.items()
        }
        taken = seconds(steps, options.rounds)
    grown = {
        name: memory(options.arch, batch=options.batch, cores=options.threads, **variant)
        for name, variant in variants.items()
    }
    for name in variants:
        result = {
            "step": name,
            "ms": round(1e3 * taken[name], 1),
            "time_ratio": round(taken[name] / taken["fp32 twin"], 2),
            "memory_mb": round(grown[name]),
            "memory_ratio": round(grown[name] / grown["fp32 twin"], 2),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
