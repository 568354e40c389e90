"""What a training step costs, against the fp32 twin: `python -m tests.tools.train_benchmark`.

Time is the median over steps taken in turns in one process; memory is the peak of a process of its
own, less what it held before its first step. A second table says where the time goes, by torch's
profiler, and how near convolutions come to what a matrix product of 1024 reaches.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.profiler import ProfilerActivity, profile

from sbn_deploy.nn import models
from sbn_deploy.nn.threads import threads
from sbn_deploy.reading.text import read_toml
from sbn_deploy.train.augment import random_flip, random_shift
from sbn_deploy.train.optim import MirrorDescent, split_parameters
from sbn_deploy.train.precision import has_bfloat16

MEMORY_STEPS = 3
PARTS_STEPS = 3
# Kibibytes of the largest resident size so far, and of now, as Linux reports them.
PEAK, NOW = "VmHWM", "VmRSS"

VARIANTS: dict[str, dict[str, bool]] = {
    "fp32 twin": {"twin": True, "bfloat16": False},
    "stochastic binary": {"twin": False, "bfloat16": False},
    "fp32 twin, bfloat16": {"twin": True, "bfloat16": True},
    "stochastic binary, bfloat16": {"twin": False, "bfloat16": True},
}
PARTS = {
    "convolutions, forwards": ("mkldnn_convolution", "_slow_conv", "thnn_conv"),
    "convolutions, backwards": ("convolution_backward",),
    "batch-norm": ("batch_norm",),
    "pooling": ("pool",),
    "rectifiers": ("clamp_min", "threshold_backward"),
    "noise: random bits, slopes": ("random_", "tanh", "_StraightThrough", "addcmul", "bitwise"),
}
REST = "the rest: sums, copies, optimiser"


def make_step(recipe: Path, *, twin: bool, bfloat16: bool) -> Callable[[], None]:
    """A training step on random images of 32x32 in 10 classes, channels last."""
    torch.manual_seed(0)
    settings = read_toml(recipe)
    offered = {"size": 32, "classes": 10}
    model = _create(str(settings["arch"]), settings.get("model", {}) | offered, twin)
    latents, others = split_parameters(model)
    optimizers: list[Optimizer] = [Adam(others, lr=0.01)]
    if latents:
        optimizers.append(MirrorDescent(latents))
    batch = int(settings.get("batch_size", 64))
    images = torch.randint(0, 256, (batch, *models.input_shape(model.config)), dtype=torch.uint8)
    labels = torch.randint(0, model.config["classes"], (batch,))

    def inputs() -> Tensor:
        changed = random_flip(random_shift(images, 2))
        return ((2 * changed.float() - 255) / 255).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        x = inputs()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = F.cross_entropy(model(x).float(), labels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            optimizer.step()

    return step


def _create(arch: str, config: dict[str, object], twin: bool) -> models.Network:
    model = (models.create_twin if twin else models.create)(arch, **config).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def seconds(
    steps: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each step by the clock, all of them in turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(rounds + 1):
        for name, step in steps.items():
            start = clock()
            step()
            if index:  # the first round warms up
                times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def parts(step: Callable[[], None]) -> dict[str, float]:
    """Milliseconds of a step by what takes them."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(PARTS_STEPS):
            step()
    taken: Counter[str] = Counter()
    for event in found.key_averages():
        named = (p for p, words in PARTS.items() if any(word in event.key for word in words))
        taken[next(named, REST)] += event.self_cpu_time_total / PARTS_STEPS / 1e3
    return {name: taken[name] for name in (*PARTS, REST)}


def convolution_macs(recipe: Path) -> int:
    """Multiply-accumulates of all convolutions in a forward pass of a batch."""
    settings = read_toml(recipe)
    config = settings.get("model", {}) | {"size": 32, "classes": 10}
    model = _create(str(settings["arch"]), config, True).eval()
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += output.numel() * layer.weight[0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, *models.input_shape(model.config)))
    return total * int(settings.get("batch_size", 64))


def product_rate(dtype: torch.dtype) -> float:
    """Multiply-accumulates a second of a matrix product of 1024."""
    size = 1024
    a, b = torch.randn(2, size, size).to(dtype)
    return size**3 / seconds({"": lambda: a @ b}, 10)[""]


def _kibibytes(key: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def _grown(recipe: Path, twin: bool, bfloat16: bool, cores: int) -> int:
    with threads(cores):
        step = make_step(recipe, twin=twin, bfloat16=bfloat16)
        before = _kibibytes(NOW)
        for _ in range(MEMORY_STEPS):
            step()
    return _kibibytes(PEAK) - before


def memory(recipe: Path, *, twin: bool, bfloat16: bool, cores: int) -> float:
    """Megabytes by which a new process grows at most in training steps."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (recipe, twin, bfloat16, cores)) * 1024 / 1e6


def main() -> None:
    """Prints what a step of the network and of its twin costs, and where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("models/cifar-m/recipe.toml"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    recipe = options.recipe
    # Without instructions for it, bfloat16 would take minutes and say nothing.
    fast = has_bfloat16(torch.device("cpu"))
    variants = {name: v for name, v in VARIANTS.items() if fast or not v["bfloat16"]}
    with threads(options.threads):
        steps = {name: make_step(recipe, **variant) for name, variant in variants.items()}
        taken = seconds(steps, options.rounds)
        found = {name: parts(step) for name, step in steps.items()}
        arithmetics = (torch.float32, torch.bfloat16) if fast else (torch.float32,)
        rates = {of: product_rate(of) for of in arithmetics}
    print("| step | ms | to the twin | memory |\n|---|---:|---:|---:|")
    for name, variant in variants.items():
        twin = next(n for n, v in variants.items() if v == variant | {"twin": True})
        grown = memory(recipe, cores=options.threads, **variant)
        print(
            f"| {name} | {1e3 * taken[name]:.0f} | {taken[name] / taken[twin]:.2f}× |"
            f" {grown:.0f} MB |"
        )
    print(f"\n| part, ms | {' | '.join(variants)} |\n|---|{'---:|' * len(variants)}")
    for part in (*PARTS, REST):
        row = [f"{found[name][part]:.0f}" for name in variants]
        print(f"| {part} | {' | '.join(row)} |")
    macs = convolution_macs(recipe)
    shares = []
    for name, variant in variants.items():
        # Gradients of inputs and of weights are two more products of the same size.
        spent = sum(found[name][part] for part in list(PARTS)[:2])
        rate = 3 * macs / (spent / 1e3)
        shares.append(
            f"{100 * rate / rates[torch.bfloat16 if variant['bfloat16'] else torch.float32]:.0f} %"
        )
    print(f"| convolutions, of a matrix product's speed | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
