"""Trains what has no checkpoint yet, measures every form, and writes the cards: `make models`.

    python models/make_models.py [NAME ...] [--cifar10 PATH] [--spoken FOLDER]

Each folder here with a `sweep.toml`, or a `forms.toml` where the answers are not classes, is a
model: `recipe.toml` trains it, `about.md` says what numbers cannot, `README.md` is the card.
Checkpoints that are there are kept; delete one to train it again. Files and measurements go to
runs/models/, where those that are there are kept too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from sbn_deploy.train.curves import draw

HERE = Path(__file__).parent
RUNS = Path("runs/models")
LICENSE = "apache-2.0"
TRAINED = ("checkpoint.safetensors", "metrics.json", "history.csv", "curves.png")


def main() -> int:
    """Makes all models whose data are there; returns the exit status."""
    parser = argparse.ArgumentParser(description="Trains, measures and describes the models here.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these models")
    parser.add_argument("--cifar10", metavar="PATH", help="folder of CIFAR-10's parquet files")
    parser.add_argument("--spoken", metavar="FOLDER", help="what tests.tools.spoken_digits wrote")
    options = parser.parse_args()
    places = {"cifar10:PATH": options.cifar10, "sounds:FOLDER": options.spoken}
    for config in sorted([*HERE.glob("*/sweep.toml"), *HERE.glob("*/forms.toml")]):
        name, data = config.parent.name, tomllib.loads(config.read_text())["data"]
        if options.names and name not in options.names:
            continue
        if data in places:
            if not places[data]:
                print(f"{name}: skipped, needs {data}: see `make help`")
                continue
            data = f"{data.partition(':')[0]}:{places[data]}"
        make(config, data)
    return 0


def make(config: Path, data: str) -> None:
    """One model."""
    folder = config.parent
    runs = RUNS / folder.name
    if not (folder / "checkpoint.safetensors").is_file():
        trained = runs / "training"
        sbn(
            "train",
            "--config",
            folder / "recipe.toml",
            "--data",
            data,
            "--out",
            trained,
            "--resume",
        )
        draw(trained)
        for file in TRAINED:
            shutil.copy(trained / file, folder / file)
    if config.name == "sweep.toml":
        shown = "threshold"
        sbn("sweep", config, "--data", data, "--out", runs)
    else:
        forms = tomllib.loads(config.read_text(encoding="utf-8"))["forms"]
        shown = next(iter(forms))
        measure(folder / "checkpoint.safetensors", forms, data, runs)
    measured = sorted([*runs.glob("evaluations/*.json"), *runs.glob("benchmarks/*.json")])
    card = [
        "--title",
        folder.name,
        "--about",
        folder / "about.md",
        "--license",
        LICENSE,
        "-o",
        folder / "README.md",
    ]
    sbn("card", runs / f"models/{shown}.onnx", *measured, *card)


def measure(checkpoint: Path, forms: dict[str, list[str]], data: str, runs: Path) -> None:
    """Exports forms of a network, each with its options, and measures them, as `sbn sweep` does."""
    files = {name: runs / f"models/{name}.onnx" for name in forms}
    for name, file in files.items():
        once(file, "export", checkpoint, *forms[name])
        once(runs / f"evaluations/{name}.json", "evaluate", file, "--data", data)
    fixed = ["--threads", "1", "--batch", "1", "--runs", "200"]
    once(runs / "benchmarks/sbn-threads1.json", "benchmark", *files.values(), *fixed)


def once(output: Path, *arguments: str | Path) -> None:
    """Runs `sbn` unless its output is there."""
    if not output.is_file():
        output.parent.mkdir(parents=True, exist_ok=True)
        sbn(*arguments, "-o", output)


def sbn(*arguments: str | Path) -> None:
    """Runs `sbn`; ends here if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "sbn_deploy.cli", *map(str, arguments)], check=False
    )
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
