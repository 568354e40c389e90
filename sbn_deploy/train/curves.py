"""Loss and accuracy over training as a picture: `python -m sbn_deploy.train.curves RUN`."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from sbn_deploy.train.logs import HISTORY
from sbn_runtime.errors import ConfigError
from sbn_runtime.files import write_atomically

CURVES = "curves.png"


def draw(folder: Path) -> Path:
    """Write `curves.png` from the `history.csv` of a run; its path.

    Raises:
        ConfigError: there is no history, or the folder cannot be written to.
    """
    # Figures without pyplot need no display and leave no global state.
    from matplotlib.figure import Figure

    try:
        text = (folder / HISTORY).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {folder / HISTORY}: {error.strerror}") from error
    records = list(csv.DictReader(text.splitlines()))
    epochs = [int(record["epoch"]) for record in records]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    loss.plot(epochs, [float(record["loss"]) for record in records])
    loss.set(xlabel="epoch", ylabel="training loss")
    for key, label in (("accuracy", "training"), ("validation_accuracy", "validation")):
        if key in records[0]:
            accuracy.plot(epochs, [100 * float(record[key]) for record in records], label=label)
    accuracy.set(xlabel="epoch", ylabel="accuracy, %")
    accuracy.legend(frameon=False)
    for axes in (loss, accuracy):
        axes.spines[["top", "right"]].set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomically(folder / CURVES, image.getvalue())
    return folder / CURVES


def main() -> None:
    """Draws the curves of the run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder with history.csv")
    print(draw(parser.parse_args().run))


if __name__ == "__main__":
    main()
