"""Charts of a search, as SVG on white."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from optuna.trial import FrozenTrial, TrialState

from .config import Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .search import Search

BEST, OTHER, PRUNED = "#0068b3", "#8a97a5", "#d9dfe5"
COLUMNS = 3
MOST_VALUES = 12


def learning_curves(search: Search) -> str:
    """The score of each trial by epoch, the best one's on top."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    best = {trial.number for trial in search.best}
    scale = _scale(search)
    for trial in sorted(search.trials, key=lambda trial: trial.number in best):
        curve = search.curve(trial)
        colour = BEST if trial.number in best else _colour(trial)
        axes.plot(range(1, len(curve) + 1), [scale * n for n in curve], color=colour, marker=".")
    axes.set(xlabel="epoch", ylabel=_label(search))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _svg(figure)


def importances(found: dict[str, float]) -> str:
    """Share of the variance of the score that each setting explains."""
    figure = Figure(figsize=(7.2, 0.7 + 0.34 * len(found)), layout="constrained")
    axes = figure.subplots()
    names = list(found)[::-1]
    bars = axes.barh(names, [found[name] for name in names], color=BEST)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="importance", xlim=(0, 1.1))
    return _svg(figure)


def slices(search: Search) -> str:
    """The score of each trial over the values of each setting."""
    names = list(search.config.search)
    rows = -(-len(names) // COLUMNS)
    columns = min(COLUMNS, len(names))
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(names) :]:
        axes.remove()
    for name, axes in zip(names, panels, strict=False):
        _slice(search, name, axes)
    for axes in panels[::columns]:
        axes.set_ylabel(_label(search))
    return _svg(figure)


def trade_offs(search: Search) -> str:
    """The score over each of the other goals."""
    others = search.config.goals[1:]
    figure = Figure(figsize=(3.6 * len(others), 3.4), layout="constrained")
    panels = figure.subplots(1, len(others), squeeze=False, sharey=True)[0]
    best = {trial.number for trial in search.best}
    for place, (goal, axes) in enumerate(zip(others, panels, strict=True), 1):
        for trial in search.completed:
            marked = trial.number in best
            axes.scatter(
                trial.values[place],
                _scale(search) * trial.values[0],
                color=BEST if marked else OTHER,
                marker="D" if marked else "o",
            )
        axes.set(xlabel={"latency": "latency, ms", "bytes": "bytes"}[goal])
    panels[0].set_ylabel(_label(search))
    return _svg(figure)


def _slice(search: Search, name: str, axes: Axes) -> None:
    space = search.config.search[name]
    best = {trial.number for trial in search.best}
    for trial in sorted(search.scored, key=lambda trial: trial.number in best):
        value = search.values(trial)[name]
        axes.scatter(
            value if isinstance(space, Range) else space.index(value),
            _scale(search) * search.score(trial),
            color=BEST if trial.number in best else _colour(trial),
            marker="D" if trial.number in best else "o",
        )
    if isinstance(space, Range):
        axes.set_xscale("log" if space.log else "linear")
        if space.log:
            # Matplotlib writes powers of ten as formulas.
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    elif len(space) <= MOST_VALUES:
        axes.set_xticks(range(len(space)), [str(value) for value in space], rotation=20, ha="right")
        axes.set_xlim(-0.5, len(space) - 0.5)
    axes.set_xlabel(name)


def _colour(trial: FrozenTrial) -> str:
    return PRUNED if trial.state == TrialState.PRUNED else OTHER


def _scale(search: Search) -> float:
    return 100 if search.metric.form == "share" else 1


def _label(search: Search) -> str:
    return search.metric.title + (", %" if search.metric.form == "share" else "")


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    text = io.StringIO()
    # Names may hold dollar signs, which would begin a formula.
    with rc_context({"text.parse_math": False, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg")
    return text.getvalue()
