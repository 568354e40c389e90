"""Compares the network of models/diabetes-mlp with ridge regression and with its fp32 twin.

    python -m tests.tools.tables [--seeds 5] [--splits 20]

First on the split of the data set `diabetes`, networks with several seeds; then on random splits of
the same sizes, one network for each. Ridge regression takes the standardised features, and its
penalty is chosen by leave-one-out error on the rows to train on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split

from sbn_deploy import data, tasks
from sbn_deploy.train.config import load
from sbn_deploy.train.loop import train

RECIPE = Path(__file__).parents[2] / "models/diabetes-mlp/recipe.toml"
PENALTIES = np.logspace(-2, 4, 25)
TWIN_EPOCHS = 10
"""The best of 6, 10, 30 and 100 in cross-validation over five parts of what is not for testing."""
FORMS = {
    "thresholded": "binary, thresholded",
    "noisy": "binary, 16 samples of the activations",
    "ensemble": "binary, 16 samples of the weights",
    "fp32": f"fp32 twin, {TWIN_EPOCHS} epochs",
}
RIDGE = "ridge regression"
Scores = dict[str, list[dict[str, float]]]


def main() -> None:
    """Trains everything, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--splits", type=int, default=20, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        own = scores([("diabetes", seed) for seed in range(options.seeds)], Path(name))
        files = [split(seed, Path(name)) for seed in range(options.splits)]
        others = scores([(f"npz:{file}", seed) for seed, file in enumerate(files)], Path(name))
    print("| | R² | MAE | R², other splits | MAE | R² minus ridge's |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in own:
        ahead = np.subtract(column(others[name], "r2"), column(others[RIDGE], "r2"))
        error = ahead.std(ddof=1) / np.sqrt(len(ahead))
        cells = [
            spread(column(own[name], "r2"), 3),
            spread(column(own[name], "mae"), 1),
            spread(column(others[name], "r2"), 3),
            spread(column(others[name], "mae"), 1),
            "" if name == RIDGE else f"{ahead.mean():+.3f} ± {error:.3f}",
        ]
        print("|", " | ".join([name, *cells]), "|")


def split(seed: int, folder: Path) -> Path:
    """An archive of the same rows, divided at random into 80 % and 20 %."""
    parts = [data.load("diabetes", part) for part in ("train+validation", "test")]
    x, y = (np.concatenate([getattr(p, name) for p in parts]) for name in ("images", "labels"))
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, random_state=1 + seed)
    file = folder / f"{seed}.npz"
    np.savez(file, x=x, y=y, test_x=test_x, test_y=test_y)
    return file


def scores(runs: Iterable[tuple[str, int]], folder: Path) -> Scores:
    """The metrics of ridge regression and of each form, for data sets and seeds of training."""
    found: Scores = {}
    for spec, seed in runs:
        both, test = data.load(spec, "train+validation"), data.load(spec, "test")
        ridge = RidgeCV(PENALTIES).fit(both.inputs(), both.labels)
        answers = ridge.predict(test.inputs())
        found.setdefault(RIDGE, []).append(tasks.find(test.task).scores(answers, test.labels))
        for settings in ({"twin": True, "epochs": TWIN_EPOCHS}, {}):
            config = load(RECIPE, out=folder / "run", data=spec, seed=seed, **settings)
            for form, metrics in train(config, overwrite=True).metrics["metrics"].items():
                found.setdefault(FORMS[form], []).append(metrics)
    return found


def column(rows: list[dict[str, float]], key: str) -> list[float]:
    """One metric."""
    return [row[key] for row in rows]


def spread(values: list[float], digits: int) -> str:
    """Mean and standard deviation; the mean alone where all are the same."""
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation > 1e-9 else "")


if __name__ == "__main__":
    main()
