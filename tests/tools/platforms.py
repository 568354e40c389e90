"""Speed of the code for Windows and macOS on this machine, against Linux's.

    python -m tests.tools.platforms [--rounds 12] [--runs 60]

The DLL for x86-64 runs in Wine, the dylib for Intel in the loader of tests/platforms, and the
library of the wheel for Linux by itself, with every kernel set but the scalar one. A round starts
each once, in turns; its time is the best of so many runs of three images on one thread. The speed
is the ratio of the medians over all rounds, 1 for Linux's, with its 95 % interval by resampling
the rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ..built import ROOT
from ..native.library import path_of
from ..platforms import wine
from ..platforms.host import compiled, platform_folder

WINDOWS, MACOS = "x86_64-pc-windows-msvc", "x86_64-apple-macos11.0"
MODELS = ("cifar-vgg-s", "digits-cnn")
BASELINE = "Linux"

Times = dict[tuple[str, str], float]
"""Microseconds by kernel set and model."""


@dataclass(frozen=True)
class Way:
    """A command that takes a file for outputs and models, and its environment."""

    command: Sequence[str | Path]
    env: dict[str, str]


def ways(folder: Path) -> dict[str, Way]:
    """How the code of each system is run; programs are compiled in `folder`."""
    here = dict(os.environ)
    programs = {}
    for name, definitions in ((BASELINE, ()), ("loader", ("SBN_MACHO",))):
        (folder / name).mkdir()
        programs[name] = compiled(folder / name, "x86_64", *definitions)
    dylib = platform_folder(MACOS) / "libsbn_native.dylib"
    dll = platform_folder(WINDOWS) / "sbn_native.dll"
    environment = wine.ready()
    return {
        BASELINE: Way((programs[BASELINE], path_of("libsbn_native.so")), here),
        "Windows": Way(("wine", wine.compiled("answers", folder), dll), environment),
        "macOS": Way((programs["loader"], dylib), here | {"SBN_FEATURES": "avx512f"}),
    }


def measured(way: Way, models: Sequence[Path], runs: int, out: Path) -> Times:
    """The best times on one thread."""
    command = [*map(str, way.command), str(out), *map(str, models)]
    done = subprocess.run(
        command, env=way.env | {"RUNS": str(runs)}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return parsed(done.stdout.splitlines()[0].split(), done.stderr)


def parsed(sets: Sequence[str], said: str) -> Times:
    """Of the lines of `answers`, which has run all models with one set after the other."""
    lines = re.findall(r"^(.+): ([\d.]+) us on (\d+) threads", said, re.MULTILINE)
    each = len(lines) // len(sets)
    return {
        (name, Path(model).stem): float(time)
        for i, name in enumerate(sets)
        for model, time, threads in lines[i * each : (i + 1) * each]
        if threads == "1" and name != "scalar"
    }


def speed(baseline: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """The ratio of the medians of times of the same rounds, with its 95 % interval."""
    times = np.array([baseline, other])
    chosen = np.random.default_rng(0).integers(times.shape[1], size=(4000, times.shape[1]))
    medians = np.median(times[:, chosen], axis=-1)
    low, high = np.quantile(medians[0] / medians[1], (0.025, 0.975))
    first, second = np.median(times, axis=1)
    return float(first / second), float(low), float(high)


def main() -> None:
    """Measures, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12, metavar="N", help="(default: 12)")
    parser.add_argument("--runs", type=int, default=60, metavar="N", help="(default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [folder / f"{model}.onnx" for model in MODELS]
        for model in models:
            checkpoint = ROOT / "models" / model.stem / "checkpoint.safetensors"
            export = (sys.executable, "-m", "sbn_deploy", "export", checkpoint, "-o", model)
            subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        try:
            compared = ways(folder)
        except pytest.skip.Exception as missing:
            raise SystemExit(str(missing)) from None
        # The first run also starts Wine, which then may use all cores.
        for way in compared.values():
            measured(way, models, 1, folder / "out")
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        rounds: dict[str, list[Times]] = {name: [] for name in compared}
        for i in range(options.rounds):
            for name in list(compared)[:: 1 if i % 2 else -1]:
                rounds[name].append(measured(compared[name], models, options.runs, folder / "out"))
    print("| code for | kernels | model | Linux, µs | µs | speed | 95 % interval |")
    print("|---|---|---|---:|---:|---:|---|")
    for name in compared:
        for key in rounds[name][0] if name != BASELINE else ():
            base, own = ([times[key] for times in rounds[which]] for which in (BASELINE, name))
            ratio, low, high = speed(base, own)
            print(
                f"| {name} | {' | '.join(key)} | {np.median(base):.1f} | {np.median(own):.1f}"
                f" | {ratio:.3f} | {low:.3f} to {high:.3f} |"
            )


if __name__ == "__main__":
    main()
