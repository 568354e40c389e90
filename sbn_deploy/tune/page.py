"""What a search found as one HTML page that loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from sbn_deploy import escape
from sbn_deploy.verbs import command_line
from sbn_runtime.files import write_atomically

from . import charts
from .config import as_toml

if TYPE_CHECKING:
    from .search import Search

PAGE = "tune.html"
FEWEST = 4
"""Trials from which importances are estimated."""


def write(search: Search, recipe: Path, assignments: Sequence[str]) -> None:
    """Writes the page into the folder of the search, which has a completed trial.

    Args:
        recipe, assignments: the command's recipe, and what `--set` changed in it.

    Raises OutputError.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: escape.visible(value) if type(value) is str else value,
    )
    found = importances(search)
    drawn: list[tuple[str, str, str]] = [
        ("Learning curves", _LEARNING, charts.learning_curves(search)),
        ("Score by setting", _SLICES, charts.slices(search)),
    ]
    if found:
        drawn.insert(0, ("What matters", _IMPORTANCE, charts.importances(found)))
    if len(search.config.goals) > 1:
        drawn.insert(0, ("Trade-offs", _TRADE_OFFS, charts.trade_offs(search)))
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        name=search.study.study_name,
        goals=search.titles,
        names=list(search.config.search),
        best=[_row(search, trial) for trial in search.best],
        trials=[_row(search, trial) for trial in search.trials],
        command=command(search, search.best[0], recipe, assignments),
        charts=[(title, text, _image(svg)) for title, text, svg in drawn],
    )
    write_atomically(search.folder / PAGE, page.encode())


def command(search: Search, trial: FrozenTrial, recipe: Path, assignments: Sequence[str]) -> str:
    """What trains with the settings of a trial."""
    changes = [
        *assignments,
        *(f"{k}={as_toml(v, exact=True)}" for k, v in search.values(trial).items()),
    ]
    words = [word for change in changes for word in ("--set", change)]
    data = () if search.base.data == "digits" else ("--data", search.base.data)
    return command_line("train", "--config", str(recipe), *data, *words, "--out", "runs/tuned")


def importances(search: Search) -> dict[str, float]:
    """Share of the score's variance that each setting explains, by fANOVA; sums to 1.

    Empty where too few trials have been completed, or all have the same score.
    """
    scores = {trial.values[0] for trial in search.completed}
    if len(search.completed) < FEWEST or len(scores) < 2:
        return {}
    evaluator = FanovaImportanceEvaluator(seed=search.config.seed)
    return dict(
        get_param_importances(search.study, evaluator=evaluator, target=lambda t: t.values[0])
    )


_IMPORTANCE = (
    "How much of the variance of the score each setting explains over the whole search (fANOVA)."
    " A setting of little importance can stay as it is."
)
_LEARNING = "The best trials in blue, others in grey; pale ones were stopped early."
_SLICES = "One point for each trial; those stopped early have the score of their last epoch."
_TRADE_OFFS = "Blue diamonds are the trials that no other beats in every goal."


def _row(search: Search, trial: FrozenTrial) -> dict[str, Any]:
    done = trial.state == TrialState.COMPLETE
    return {
        "number": trial.number,
        "goals": search.shown(trial) if done else ["-"] * len(search.titles),
        "values": [as_toml(value) for value in search.values(trial).values()],
        "note": "" if done else search.why_pruned(trial),
    }


def _image(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
