"""Figures of experiments. Drawn without pyplot, so that no display is needed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sbn_deploy.tasks import Metric
from sbn_runtime.files import write_atomically

from .comparison import Compared
from .ensembles import Averaged


def draw_compared(path: Path, found: Sequence[Compared], metric: Metric) -> None:
    """Writes a PNG: the metric of each form of the network by variant, with its interval."""
    forms = tuple(dict.fromkeys(score.weights for score in found[0].scores))
    groups = tuple(dict.fromkeys(one.variant.group for one in found))
    figure = Figure(figsize=(4.2 * len(forms), 4), layout="constrained")
    panels = figure.subplots(1, len(forms), sharey=True, squeeze=False)[0]
    for form, axes in zip(forms, panels, strict=True):
        for group in groups:
            members = [one for one in found if one.variant.group == group]
            scores = [one.score(form, metric.key) for one in members]
            axes.errorbar(
                [one.variant.name if one.variant.at is None else one.variant.at for one in members],
                [score.mean for score in scores],
                [score.half_width or 0 for score in scores],
                marker="o",
                capsize=3,
                linestyle="-" if group else "",
                label=group,
            )
        if any(groups):
            axes.set_xscale("log")
            axes.set_xlabel("learning rate of the latents")
        else:
            axes.tick_params(axis="x", rotation=60)
        axes.set_title(form)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(metric.title)
    if any(groups):
        panels[-1].legend(frameon=False)
    _save(figure, path)


def draw_averaged(path: Path, found: Sequence[Averaged], metrics: Sequence[Metric]) -> None:
    """Writes a PNG: each metric against the number of networks that are averaged."""
    figure = Figure(figsize=(4.8 * len(metrics), 4), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(metrics), squeeze=False)[0]
    for metric, axes in zip(metrics, panels, strict=True):
        for kind in dict.fromkeys(one.kind for one in found):
            line = [one for one in found if (one.kind, one.metric) == (kind, metric.key)]
            axes.plot([one.count for one in line], [one.mean for one in line], "o-", label=kind)
        axes.set(xlabel="networks averaged", ylabel=metric.title)
        axes.set_xticks(sorted({one.count for one in found}))
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())
