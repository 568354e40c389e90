"""A model here against what else could be deployed: its int8 twin, as small as it may be.

    python -m tests.tools.int8_twins models/cifar-s --data cifar10:PATH [--shares 1,0.5,0.35]

The twin has real weights and the same architecture with a share of the channels. It is trained by
the model's recipe, on the same images and for as many epochs as both stages of it, quantised to 8
bits by onnxruntime (static, weights by channel, ranges of 512 training images) and timed in turns
with the model in both our engines, one image on one thread. Runs are kept in runs/twins. Writes a
table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sbn_deploy import data
from sbn_deploy.benchmark.float_baselines import export_fp32, quantise_int8
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import BINARY_ONLY, TrainConfig

RANGES = 512
BATCH = 100
WIDTHS = ("widths", "width")


@dataclass(frozen=True)
class Candidate:
    """A file, what it is, and its accuracy in percent."""

    name: str
    file: Path
    accuracy: float


def sbn(*words: object) -> None:
    """Runs a verb."""
    subprocess.run([sys.executable, "-m", "sbn_deploy.cli", *map(str, words)], check=True)


def scaled(config: dict[str, Any], share: float) -> dict[str, Any]:
    """The widths of a recipe's network times `share`, in multiples of 4."""

    def fewer(width: int) -> int:
        return max(4, 4 * round(width * share / 4))

    found = {key: config[key] for key in WIDTHS if key in config}
    return {
        key: [fewer(width) for width in value] if isinstance(value, list) else fewer(value)
        for key, value in found.items()
    }


def twin(folder: Path, images: str, share: float, runs: Path) -> Candidate:
    """Trains, quantises and scores the twin with a share of the channels."""
    recipe = tomllib.loads((folder / "recipe.toml").read_text())
    widths = scaled(recipe["model"], share)
    out = runs / f"{folder.name}-{share:g}"
    settings = {f"model.{key}": value for key, value in widths.items()}
    settings["epochs"] = recipe["epochs"] + recipe.get("twin_epochs", 0)
    for key in BINARY_ONLY & recipe.keys():
        settings[key] = TrainConfig.model_fields[key].default
    words = [w for key, value in settings.items() for w in ("--set", f"{key}={json.dumps(value)}")]
    fixed = ["--config", folder / "recipe.toml", "--data", images, "--twin", "--out", out]
    sbn("train", *fixed, *words, "--resume", "-q")
    network, header = checkpoint.load(out / "checkpoint.safetensors")
    training = data.load(images, "train").evenly(RANGES).inputs()
    fp32, int8 = out / "fp32.onnx", out / "int8.onnx"
    export_fp32(network.eval(), models.input_shape(header.config), fp32)
    quantise_int8(fp32, int8, training)
    test = data.load(images, "test")
    session = onnxruntime.InferenceSession(int8, providers=["CPUExecutionProvider"])
    inputs = test.inputs()
    found = np.concatenate(
        [
            session.run(["logits"], {"input": inputs[i : i + BATCH]})[0].argmax(1)
            for i in range(0, len(inputs), BATCH)
        ]
    )
    shown = next(iter(widths.values()))
    return Candidate(f"int8 twin, {shown}", int8, 100 * float((found == test.labels).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of models/ with a checkpoint")
    parser.add_argument("--data", required=True, help="as in `sbn train --data`")
    parser.add_argument("--shares", default="1,0.5,0.35", help="of the model's channels")
    parser.add_argument("--seconds", type=float, default=20, help="for the timing")
    parser.add_argument("--runs", type=Path, default=Path("runs/twins"))
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    ours = given.runs / f"{given.model.name}.onnx"
    sbn("export", given.model / "checkpoint.safetensors", "-o", ours, "-q")
    scores = json.loads((given.model / "metrics.json").read_text())["metrics"]
    candidates = [
        Candidate(given.model.name, ours, 100 * scores["thresholded"]["accuracy"]),
        *(twin(given.model, given.data, float(s), given.runs) for s in given.shares.split(",")),
    ]
    record = given.runs / f"{given.model.name}.json"
    files = [candidate.file for candidate in candidates]
    timing = ["--compare", "native", "--max-seconds", given.seconds]
    sbn("benchmark", *files, *timing, "-o", record)
    times = [result["p50_ms"] for result in json.loads(record.read_text())["results"]]
    # The first file is timed in both engines.
    native = replace(candidates[0], name=f"{candidates[0].name}, engine native")
    candidates.insert(1, native)
    print("| network | accuracy | file | one image |\n|---|---:|---:|---:|")
    for candidate, milliseconds in zip(candidates, times, strict=True):
        size = candidate.file.stat().st_size / 1e3
        print(
            f"| {candidate.name} | {candidate.accuracy:.1f} % | {size:.0f} kB |"
            f" {milliseconds:.3f} ms |"
        )


if __name__ == "__main__":
    main()
