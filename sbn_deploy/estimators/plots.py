"""Figures of a study. Drawn without pyplot, so that no display is needed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sbn_runtime.files import write_atomically

from .advice import Sweeps
from .study import HIDDEN, Result, Score
from .training import Moment

COUNTS = [10 ** (power / 8) for power in range(8 * 5 + 1)]
"""Averaged estimates, 1 to 10^5."""


def draw(
    folder: Path, result: Result, *, sweeps: Sweeps | None = None, moments: Sequence[Moment] = ()
) -> list[Path]:
    """Write a PNG for each part of a study into `folder` and return the paths.

    errors.png: error against the number of averaged estimates, which levels off at
    the bias. <what was varied>.png: bias of the first layer. training.png: bias of
    the hidden layers against training steps. agreement.png: cosine between the mean
    estimate and the gradient there.
    """
    paths = [_errors(folder / "errors.png", result)]
    for by, values in (sweeps or {}).items():
        paths.append(_sweep(folder / f"{by}.png", by, values))
    if moments:
        paths.append(_training(folder / "training.png", moments))
        paths.append(_agreement(folder / "agreement.png", moments))
    return paths


def _errors(path: Path, result: Result) -> Path:
    figure, axes = _figure("averaged estimates", "relative error, hidden layers")
    for number, name in enumerate(result.estimators):
        score = result.score(name)
        errors = [score.error_of_mean(count) for count in COUNTS]
        axes.loglog(COUNTS, errors, label=name, **_style(number))
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_title("-".join(map(str, result.setting.dims)))
    return _save(figure, path)


def _sweep(path: Path, by: str, values: Sequence[tuple[str, Result]]) -> Path:
    figure, axes = _figure(by, "relative bias, first layer")
    for number, name in enumerate(values[0][1].estimators):
        biases = [result.score(name, "1").bias for _, result in values]
        axes.plot([value for value, _ in values], biases, marker="o", label=name, **_style(number))
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=0)
    return _save(figure, path)


def _training(path: Path, moments: Sequence[Moment]) -> Path:
    figure, axes = _along("relative bias, hidden layers", moments, lambda score: score.bias)
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=0)
    return _save(figure, path)


def _agreement(path: Path, moments: Sequence[Moment]) -> Path:
    figure, _ = _along("cosine with the gradient, hidden layers", moments, lambda s: s.cosine)
    return _save(figure, path)


def _along(
    title: str, moments: Sequence[Moment], figure_of: Callable[[Score], float]
) -> tuple[Figure, Axes]:
    """A figure of each estimator against training steps."""
    figure, axes = _figure("training steps", title)
    steps = [moment.step for moment in moments]
    hidden = [[s for s in moment.scores if s.layer == HIDDEN] for moment in moments]
    for number, scores in enumerate(zip(*hidden, strict=True)):
        values = [figure_of(score) for score in scores]
        axes.plot(steps, values, marker="o", label=scores[0].estimator, **_style(number))
    axes.set_xscale("symlog", linthresh=min((step for step in steps if step), default=1))
    return figure, axes


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _style(number: int) -> dict[str, Any]:
    # Ten colours; a second round of them is dashed.
    return {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--"}


def _save(figure: Figure, path: Path) -> Path:
    figure.axes[0].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())
    return path
