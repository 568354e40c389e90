"""What each choice of a training recipe is worth on CIFAR-10: docs/accuracy.md.

    python -m tests.tools.accuracy --cifar10 PATH [--seeds 0,1] [--only NAME,NAME]
    python -m tests.tools.accuracy -o docs/accuracy.md

Each row is one `sbn train` of models/cifar-s/recipe.toml for two epochs with one thing changed.
Runs are in --runs and are not repeated; the page has what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from scipy.stats import t

from sbn_runtime.files import write_atomically

RECIPE = "models/cifar-s/recipe.toml"
INTRODUCTION = """\
# What a recipe's choices are worth

Each row is `sbn train` on CIFAR-10 with the recipe of `models/cifar-s`, for two epochs on one
thread, with one thing changed; its commands are below. So short a training favours what learns
fast: eight epochs of the recipe reach 80.5 %. All figures are of the 10,000 test images. *Noisy*
and *members* average four samples of the activations or of the weights. CPU seconds are those of
the whole process, the scoring of all forms included, on a machine that did other things too.

Differences are to the recipe. Their 95 % intervals are from the deviations between seeds within all
rows together (a one-way analysis of variance), since two seeds say little about the spread of a
row. A row of one seed has a wider interval.

![Accuracy by change, with intervals](figures/accuracy.png)
"""
FINDINGS = """\
"""
FIXED = ("epochs=2", "members=4", "precision=bfloat16")
BASE = "the recipe"
CPU = "cpu.json"
TWIN = "fp32 twin"


@dataclass(frozen=True)
class Row:
    """One change: settings, and options that name the twin's checkpoint as {twin}."""

    name: str
    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def folder(self, runs: Path, seed: int) -> Path:
        return runs / self.name.replace(" ", "-").replace("/", "-") / f"seed-{seed}"

    def words(self, runs: Path, seed: int, data: str) -> list[str]:
        """The command of one seed."""
        twin = ROWS[TWIN].folder(runs, seed) / "checkpoint.safetensors"
        settings = [
            w for s in (*FIXED, *self.settings) for w in ("--set", s.replace("{twin}", str(twin)))
        ]
        options = [word.replace("{twin}", str(twin)) for word in self.options]
        out = str(self.folder(runs, seed))
        fixed = ["train", "--config", RECIPE, "--data", data, "--seed", str(seed), "--out", out]
        return [*fixed, *settings, *options]


def _rows(*rows: Row) -> dict[str, Row]:
    return {row.name: row for row in rows}


# In the order in which they are run: what matters most, or what others need, first.
ROWS = _rows(
    Row(BASE),
    Row(TWIN, options=("--twin",)),
    Row("weights deterministic", ("weights=deterministic", "latent_lr=1.0")),
    Row("real last and 1x1 layers", ("model.last=real", "model.shortcuts=real")),
    Row(
        "both deterministic",
        ("weights=deterministic", "latent_lr=1.0", "activations=deterministic"),
    ),
    Row("activations deterministic", ("activations=deterministic",)),
    Row("no sums of shortcuts: cifar-vgg", ("arch=cifar-vgg", "model={width=32}")),
    Row("latent rate 1", ("latent_lr=1.0",)),
    Row("batch-norm scale 1", ("norm_scale=1.0",)),
    Row("uniform noise of activations", ("model.activation_noise=uniform",)),
    Row("taught by the twin", ("teacher={twin}",)),
    Row("mean of parameters", ("ema=0.99",)),
    Row("started from the twin", options=("--from", "{twin}")),
    Row("last epoch without noise", ("deterministic_epochs=1",)),
    Row("latent rate 10", ("latent_lr=10.0",)),
    Row("batch-norm scale 4", ("norm_scale=4.0",)),
    Row("first layer of real weights", ("model.first=real",)),
    Row("first layer binary", ("model.first=binary",)),
    Row("float32", ("precision=float32",)),
    Row("label smoothing 0.1", ("label_smoothing=0.1",)),
    Row("no shifts, no mirrors", ("shift=0", "flip=false")),
    Row("latent decay", ("latent_decay=1e-5",)),
    Row("batches of 32", ("batch_size=32",)),
    Row("batches of 128", ("batch_size=128",)),
    Row("width times 1.4", ("model.widths=[44,88,176,176]",)),
    Row(
        "two blocks each, width over 1.4", ("model.widths=[23,45,91,91]", "model.blocks=[2,2,2,2]")
    ),
)


def run(row: Row, runs: Path, seed: int, data: str) -> None:
    """Trains one seed, if that is left to do, and notes its CPU time beside what it wrote."""
    folder = row.folder(runs, seed)
    if (folder / CPU).is_file():
        return
    words = [sys.executable, "-m", "sbn_deploy.cli", *row.words(runs, seed, data), "-q"]
    print("$", shlex.join(["sbn", *words[3:]]), flush=True)
    child = os.spawnv(os.P_NOWAIT, sys.executable, [*words, "--overwrite"])
    _, status, usage = os.wait4(child, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{row.name}, seed {seed}: exit status {code}")
    seconds = usage.ru_utime + usage.ru_stime
    write_atomically(folder / CPU, json.dumps({"cpu_seconds": seconds}).encode())


@dataclass(frozen=True)
class Found:
    """What a row's seeds gave: accuracies in percent by form, and mean CPU seconds."""

    row: Row
    scores: dict[str, list[float]]
    cpu: float

    @classmethod
    def read(cls, row: Row, runs: Path, seeds: Sequence[int]) -> Found | None:
        done = [f for s in seeds if ((f := row.folder(runs, s)) / CPU).is_file()]
        if not done:
            return None
        metrics = [json.loads((f / "metrics.json").read_bytes())["metrics"] for f in done]
        forms = {
            form: [100 * one[form]["accuracy"] for one in metrics if form in one]
            for form in metrics[0]
        }
        cpu = fmean(json.loads((f / CPU).read_bytes())["cpu_seconds"] for f in done)
        return cls(row, forms, cpu)

    @property
    def thresholded(self) -> list[float]:
        return next(iter(self.scores.values()))


def pooled(found: Sequence[Found]) -> tuple[float, int]:
    """The deviation within rows, and its degrees of freedom."""
    groups = [one.thresholded for one in found]
    squares = sum((value - fmean(group)) ** 2 for group in groups for value in group)
    freedom = sum(len(group) - 1 for group in groups)
    return (sqrt(squares / freedom) if freedom else float("nan")), freedom


def table(found: Sequence[Found]) -> str:
    """Rows by their thresholded accuracy, best first."""
    base = next(one for one in found if one.row.name == BASE)
    deviation, freedom = pooled(found)
    lines = [
        "| change | thresholded | to the recipe | noisy | members | seeds | CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in sorted(found, key=lambda each: -fmean(each.thresholded)):
        difference = fmean(one.thresholded) - fmean(base.thresholded)
        width = sqrt(1 / len(one.thresholded) + 1 / len(base.thresholded)) * deviation
        half = float(t.ppf(0.975, freedom)) * width if freedom else float("nan")
        against = "" if one is base else f"{difference:+.1f} ± {half:.1f}"
        noisy, members = (
            f"{fmean(one.scores[form]):.1f} %" if form in one.scores else "–"
            for form in ("noisy", "ensemble")
        )
        lines.append(
            f"| {one.row.name} | {fmean(one.thresholded):.1f} % | {against} | {noisy} | {members} |"
            f" {len(one.thresholded)} | {one.cpu:.0f} |"
        )
    note = f"Deviation between seeds: {deviation:.2f} points, of {freedom} degrees of freedom."
    return "\n".join([*lines, "", note])


def plot(found: Sequence[Found], path: Path) -> None:
    """The rows of `table`: a dot for each seed, and the interval of the mean."""
    deviation, freedom = pooled(found)
    ordered = sorted(found, key=lambda each: fmean(each.thresholded))
    base = fmean(next(one for one in found if one.row.name == BASE).thresholded)
    figure = Figure(figsize=(8, 0.8 + 0.28 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(base, color="0.8", zorder=0)
    for y, one in enumerate(ordered):
        mean, count = fmean(one.thresholded), len(one.thresholded)
        half = float(t.ppf(0.975, freedom)) * deviation / sqrt(count)
        axes.errorbar(mean, y, xerr=half, color="tab:blue", capsize=3, marker="|")
        axes.plot(one.thresholded, [y] * count, "o", color="tab:blue", alpha=0.5, markersize=4)
    axes.set_yticks(range(len(ordered)), [one.row.name for one in ordered])
    axes.set_xlabel("right, of 10,000 test images, thresholded [%]")
    figure.savefig(path, dpi=120)


def page(found: Sequence[Found], runs: Path) -> str:
    """docs/accuracy.md, beside which is the plot."""
    return (
        f"{INTRODUCTION}\n{table(found)}\n\n{FINDINGS}\n## Commands\n\n<!-- not run: hours -->\n"
        f"```sh\n{commands(found, runs)}\n```\n"
    )


def commands(found: Sequence[Found], runs: Path) -> str:
    """The command of each row's first seed."""
    return "\n".join(shlex.join(["sbn", *one.row.words(runs, 0, "cifar10:PATH")]) for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", help="folder or file of CIFAR-10; without it, nothing is run")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", help="rows to run, by name")
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    names = given.only.split(",") if given.only else list(ROWS)
    if given.cifar10:
        for seed in seeds:
            for name in names:
                run(ROWS[name], given.runs, seed, f"cifar10:{given.cifar10}")
    read = (Found.read(row, given.runs, range(100)) for row in ROWS.values())
    found = [one for one in read if one is not None]
    if given.output:
        write_atomically(given.output, page(found, given.runs).encode())
        plot(found, given.output.parent / "figures" / "accuracy.png")
    else:
        print(table(found))


if __name__ == "__main__":
    main()
