"""Loss and metrics over training as a picture: `python -m sbn_deploy.train.curves RUN`."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from sbn_deploy.train.logs import HISTORY
from sbn_runtime.errors import ConfigError
from sbn_runtime.files import write_atomically

CURVES = "curves.png"
ACCURACY, VALIDATION = "accuracy", "validation_"


def draw(folder: Path) -> Path:
    """Write `curves.png` from the `history.csv` of a run; its path.

    Raises:
        ConfigError: there is no history, or the folder is not writable.
    """
    # Figures without pyplot need no display and leave no global state.
    from matplotlib.figure import Figure

    try:
        text = (folder / HISTORY).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {folder / HISTORY}: {error.strerror}") from error
    records = list(csv.DictReader(text.splitlines()))
    epochs = [int(record["epoch"]) for record in records]
    shown = [key for key in records[0] if key == ACCURACY or key.startswith(VALIDATION)]
    metrics = list(dict.fromkeys(key.removeprefix(VALIDATION) for key in shown))
    figure = Figure(figsize=(4 * (1 + len(metrics)), 3.2), layout="constrained")
    loss, *panels = figure.subplots(1, 1 + len(metrics), squeeze=False)[0]
    loss.plot(epochs, [float(record["loss"]) for record in records])
    loss.set(xlabel="epoch", ylabel="training loss")
    for metric, axes in zip(metrics, panels, strict=True):
        scale = 100 if metric == ACCURACY else 1
        for key, label in ((metric, "training"), (VALIDATION + metric, "validation")):
            if key in shown:
                axes.plot(epochs, [scale * float(record[key]) for record in records], label=label)
        axes.set(xlabel="epoch", ylabel="accuracy, %" if metric == ACCURACY else metric)
        axes.legend(frameon=False)
    for axes in (loss, *panels):
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
