"""Finds measurement files and reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbn_deploy.measure.measurement import FORMAT, load
from sbn_deploy.tasks import OBJECTIVES
from sbn_runtime.errors import InputError

from .measured import Benchmark, Evaluation, Head, Profile, TaskEvaluation
from .parse import parse

Body = Benchmark | Evaluation | Profile | TaskEvaluation
KINDS: dict[str, type[Body]] = {
    "benchmark": Benchmark,
    "evaluation": Evaluation,
    "profile": Profile,
}


@dataclass(frozen=True)
class Run:
    """A measurement and the file that it is in."""

    path: Path
    head: Head
    body: Body


def read_runs(paths: Sequence[Path], say: Callable[[str], None]) -> list[Run]:
    """Reads measurement files and folders of them, the oldest first; each file counts once.

    Of a folder, those of its *.json that are measurements are taken.

    Args:
        say: is told which files of a folder are left out.

    Raises:
        InputError: a file is no measurement or a damaged one, or a folder holds none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _measurements(path, say) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return sorted((_read(path) for path in found.values()), key=lambda run: run.head.created)


def is_measurement(path: Path) -> bool:
    """Whether a file claims to be a measurement, of whatever version."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _measurements(folder: Path, say: Callable[[str], None]) -> Iterable[Path]:
    files = sorted(folder.glob("*.json"))
    chosen = [path for path in files if is_measurement(path)]
    if not chosen:
        raise InputError(
            f"{folder}: holds no measurement; give files that sbn benchmark, profile or evaluate"
            " wrote with -o, or the folder they are in"
        )
    if left := [path.name for path in files if path not in chosen]:
        say(f"{folder}: no measurement, left out: {', '.join(left)}")
    return chosen


def _read(path: Path) -> Run:
    content: dict[str, Any] = load(path)
    kind = content.get("kind")
    if kind not in KINDS:
        raise InputError(f"{path} is a measurement of unknown kind {kind!r}; measure again")
    of_task = kind == "evaluation" and "task" in content
    body: type[Body] = TaskEvaluation if of_task else KINDS[kind]
    run = Run(path, parse(Head, content, str(path)), parse(body, content, str(path)))
    if isinstance(run.body, TaskEvaluation):
        _check_task(run.body, path)
    elif isinstance(run.body, Benchmark):
        _check_benchmark(run.body, path)
    elif isinstance(run.body, Evaluation):
        _check_evaluation(run.body, path)
    return run


def _check_benchmark(body: Benchmark, path: Path) -> None:
    names = {model.name for model in body.models}
    used = {timing.model for timing in body.results} | {ratio.model for ratio in body.ratios}
    for name in sorted(used - names):
        raise InputError(f"{path}: model {name!r} is not described; measure again")
    if any(timing.p50_ms <= 0 for timing in body.results):
        raise InputError(f"{path}: a time is not above zero; measure again")
    if any(ratio.ratio <= 0 or (ratio.low or 1) <= 0 for ratio in body.ratios):
        raise InputError(f"{path}: a ratio is not above zero; measure again")


def _check_task(body: TaskEvaluation, path: Path) -> None:
    if body.task not in OBJECTIVES:
        raise InputError(f"{path} is of unknown task {body.task!r}; measure again")
    known = [metric.key for metric in OBJECTIVES[body.task].metrics]
    if [metric.key for metric in body.metrics] != known:
        raise InputError(f"{path} has other metrics than {', '.join(known)}; measure again")


def _check_evaluation(body: Evaluation, path: Path) -> None:
    classes = len(body.data.classes)
    sizes = {len(row) for row in body.confusion} | {len(body.confusion)} - {0}
    if body.confusion and sizes != {classes}:
        raise InputError(f"{path}: the confusion matrix is not {classes} × {classes}")
    if len(body.coverage) != len(body.risk):
        raise InputError(f"{path}: coverage and risk differ in length; measure again")
