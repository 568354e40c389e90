"""What each choice of a training recipe is worth on CIFAR-10: docs/accuracy.md.

    python -m tests.tools.accuracy --cifar10 PATH [--seeds 0,1] [--only NAME,NAME]

Each row is one `sbn train` of models/cifar-s/recipe.toml for two epochs with one thing changed.
Runs are in --runs. What came of them is in the JSON beside the page too, and is not run again.
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
thread, in bfloat16, with one thing changed; its commands are below. So short a training favours
what learns fast: sixteen epochs of the recipe reach 82.4 %. All figures are of the 10,000 test
images. *Noisy* and *members* average four samples of the activations or of the weights. CPU
seconds are those of the whole process, the scoring of all forms included, on a machine that did
other things too.

Differences are to the recipe. Their 95 % intervals are from the deviations between seeds within all
rows together (a one-way analysis of variance), since two seeds say little about the spread of a
row. A row of one seed has a wider interval.

![Accuracy by change, with intervals](figures/accuracy.png)
"""
FINDINGS = """\
## What matters here

- Shortcuts of real numbers matter by far the most: the network without them is 10 points worse.
- The same network in fp32 is 4 to 5 points better. Starting from it, once it is trained (`--from`),
  recovers more than half of that, for the price of its training. At full length nothing is left of
  it ([training](training.md#starting-from-a-float-network)).
- Training without any noise gains about two points thresholded, and loses more where the network
  is then used with noise. One that is to be sampled must be trained so. At full length too:
  [cifar-vgg-s](../models/cifar-vgg-s/README.md) gains four points thresholded and five as members.
- Eight bits in the last layer and in the 1×1 layers cost nothing that can be seen here, nor do they
  in the first.
- Being taught by the twin (`teacher`) lies at the edge of its interval; nothing else in the table
  differs from the recipe by more. Of so many comparisons, one may be outside by chance.
- Rows of the tool that are not in the table were not run.
"""
FIXED = ("epochs=2", "twin_epochs=0", "calibrate=false", "members=4")
BASE = "the recipe"
CPU, SECONDS = "cpu.json", "cpu_seconds"
# By row and seed: accuracies in percent by form, and CPU seconds.
Results = dict[str, dict[str, dict[str, float]]]
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
    """Trains one seed, and notes its CPU time beside what it wrote."""
    words = [sys.executable, "-m", "sbn_deploy.cli", *row.words(runs, seed, data), "-q"]
    print("$", shlex.join(["sbn", *words[3:]]), flush=True)
    child = os.spawnv(os.P_NOWAIT, sys.executable, [*words, "--overwrite"])
    _, status, usage = os.wait4(child, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{row.name}, seed {seed}: exit status {code}")
    seconds = usage.ru_utime + usage.ru_stime
    write_atomically(row.folder(runs, seed) / CPU, json.dumps({"cpu_seconds": seconds}).encode())


def results(known: Path, runs: Path) -> Results:
    """What is in the JSON, and what else was run."""
    found: Results = json.loads(known.read_bytes()) if known.is_file() else {}
    for row in ROWS.values():
        for seed in range(100):
            folder = row.folder(runs, seed)
            if not (folder / CPU).is_file():
                continue
            metrics = json.loads((folder / "metrics.json").read_bytes())["metrics"]
            found.setdefault(row.name, {})[str(seed)] = {
                **{form: round(100 * one["accuracy"], 2) for form, one in metrics.items()},
                SECONDS: round(json.loads((folder / CPU).read_bytes())["cpu_seconds"]),
            }
    return found


@dataclass(frozen=True)
class Found:
    """What a row's seeds gave: accuracies in percent by form, and mean CPU seconds."""

    row: Row
    scores: dict[str, list[float]]
    cpu: float

    @classmethod
    def all(cls, found: Results) -> list[Found]:
        """In the order of the rows."""
        made = []
        for name, row in ROWS.items():
            if seeds := list(found.get(name, {}).values()):
                forms = [form for form in seeds[0] if form != SECONDS]
                scores = {form: [one[form] for one in seeds] for form in forms}
                made.append(cls(row, scores, fmean(one[SECONDS] for one in seeds)))
        return made

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
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/accuracy.md"))
    given = parser.parse_args()
    known = given.output.with_suffix(".json")
    names = given.only.split(",") if given.only else list(ROWS)
    for seed in given.seeds.split(",") if given.cifar10 else ():
        for name in names:
            if seed not in results(known, given.runs).get(name, {}):
                run(ROWS[name], given.runs, int(seed), f"cifar10:{given.cifar10}")
    done = results(known, given.runs)
    found = Found.all(done)
    write_atomically(known, (json.dumps(done, indent=1) + "\n").encode())
    write_atomically(given.output, page(found, given.runs).encode())
    plot(found, given.output.parent / "figures" / "accuracy.png")
    print(table(found))


if __name__ == "__main__":
    main()
