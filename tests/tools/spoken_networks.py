"""Compares networks of spoken digits: over the picture of the spectrum, and along time only.

    python -m tests.tools.spoken_networks ARCHIVE.npz FOLDER [--speakers 0,1,2]

Trains the networks of models/spoken-digits (2-D) and models/spoken-digits-1d, and the fp32 twin of
each, with all settings of their recipes but the number of epochs, on all recordings (`calibrate`
holds some out); one seed. Tests on takes that were not trained on, of speakers that were, and then
on one speaker after the other who was not. Everything is kept in FOLDER; run the same command to
resume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sbn_deploy.benchmark.float_baselines import export_fp32
from sbn_deploy.export import export_checkpoint
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import load
from sbn_deploy.train.loop import train

from .spoken_digits import SPEAKERS, write

RECIPES = {"2-D": "spoken-digits", "1-D": "spoken-digits-1d"}
EPOCHS = {"2-D": 8, "1-D": 20}
"""An epoch of the second takes a third of the time or less."""
MODELS = Path(__file__).parents[2] / "models"


def main() -> None:
    """Trains what is missing, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE.npz")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--speakers", default=",".join(map(str, range(SPEAKERS))), metavar="S,…")
    options = parser.parse_args()
    speakers = [int(text) for text in options.speakers.split(",")]
    places = {None: options.folder / "takes"}
    places |= {speaker: options.folder / f"speaker{speaker}" for speaker in speakers}
    found: dict[tuple[str, bool], list[float]] = {}
    sizes: dict[tuple[str, bool], int] = {}
    for held_out, place in places.items():
        if not place.is_dir():
            part = place.with_suffix(".part")
            write(options.archive, part, held_out)
            part.rename(place)
        for name in RECIPES:
            for twin in (False, True):
                accuracy, size = trained(name, twin, place)
                found.setdefault((name, twin), []).append(accuracy)
                sizes[name, twin] = size
                print(f"{name}{' twin' if twin else ''}, {place.name}: {accuracy:.2%}", flush=True)
    titles = ["network", "kB", "unseen takes", *(f"speaker {s}" for s in speakers), "mean"]
    print("|", " | ".join(titles), "|")
    print("|---|", "|".join(["---:"] * (len(titles) - 1)), "|", sep="")
    for (name, twin), scores in found.items():
        mean = sum(scores[1:]) / len(speakers)
        cells = [f"{sizes[name, twin] / 1000:,.0f}", *(f"{s:.1%}" for s in [*scores, mean])]
        print("|", " | ".join([f"{name}, {'fp32 twin' if twin else 'binary'}", *cells]), "|")


def trained(name: str, twin: bool, place: Path) -> tuple[float, int]:
    """Accuracy on the test part, thresholded for a binary network, and bytes of the ONNX file."""
    out = place.with_name(f"{place.name}-{name}{'-twin' if twin else ''}")
    # The last epochs without noise, of which twins have none anyway.
    without_noise = {"deterministic_epochs": 0} if twin else {}
    config = load(
        MODELS / RECIPES[name] / "recipe.toml",
        out=out,
        data=f"sounds:{place}",
        epochs=EPOCHS[name],
        twin=twin,
        calibrate=False,
        **without_noise,
    )
    result = train(config, resume=True)
    (form,) = {"fp32", "thresholded"} & result.metrics["metrics"].keys()
    file = out / "model.onnx"
    if twin:
        network, _ = checkpoint.load(result.checkpoint_path)
        export_fp32(network, models.input_shape(network.config), file)
    else:
        export_checkpoint(result.checkpoint_path, file)
    return result.metrics["metrics"][form]["accuracy"], file.stat().st_size


if __name__ == "__main__":
    main()
