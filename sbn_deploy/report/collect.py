"""Brings measurements together: which belong to one model, and what may be compared."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sbn_deploy.measure.measurement import ModelFacts
from sbn_runtime.errors import InputError

from .choose import choices
from .content import (
    FORMAT,
    VERSION,
    Accuracy,
    Comparison,
    Evaluated,
    Model,
    Place,
    Point,
    Profiled,
    RatioRow,
    Report,
    Source,
    TaskEvaluated,
    Warned,
    machine_name,
)
from .figures import count
from .measured import Benchmark, Evaluation, Profile, TaskEvaluation, Timing
from .names import SAME_NETWORK, engine_name, form, model_names
from .pareto import front
from .read import Run

CONFUSED = 5
NO_DATA: list[tuple[str | None, int | None]] = [(None, None)]
VERSIONS = ("sbn_deploy", "sbn_kernels", "onnxruntime", "numpy", "python")


def collect(runs: Sequence[Run]) -> Report:
    """The content of a report.

    Args:
        runs: from the oldest to the newest. Where one thing was measured twice, the newest counts.

    Raises:
        InputError: the measurements have nothing to show.
    """
    return _Collection(runs).report()


class _Collection:
    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.notes: list[str] = []
        self.facts = {model.sha256: model for run in runs for model in _models(run)}
        self.names = model_names(self.facts.values())

    def report(self) -> Report:
        comparisons = list(self.comparisons())
        evaluations = sorted(
            self.evaluations.values(),
            key=lambda entry: (entry.evaluation.data.name, -entry.evaluation.scores.accuracy),
        )
        ratios = list(self.ratios())
        profiles = list(self.profiles())
        tasks = list(self.tasks().values())
        if not (comparisons or evaluations or tasks or profiles):
            raise InputError(
                "the measurements hold no results; measure again with sbn benchmark, profile or"
                " evaluate"
            )
        self.note_skipped()
        rules = {run.body.rule for run in self.runs if isinstance(run.body, Benchmark)} - {None}
        return Report(
            format=FORMAT,
            version=VERSION,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            title=self.title(),
            choices=choices(comparisons, ratios, evaluations, tasks, profiles),
            unstable=[
                Warned(reason, run.path.name)
                for run in self.runs
                if isinstance(run.body, Benchmark)
                for reason in run.body.unstable
            ],
            rules=sorted(rule for rule in rules if rule),
            notes=self.notes,
            places=self.places(),
            models=[
                Model(self.names[digest], form(facts), facts)
                for digest, facts in self.facts.items()
            ],
            comparisons=comparisons,
            ratios=ratios,
            evaluations=evaluations,
            tasks=tasks,
            profiles=profiles,
            sources=[self.source(run) for run in self.runs],
        )

    def title(self) -> str:
        names = list(self.names.values())
        if len(names) <= 3:
            return ", ".join(names)
        families = sorted({facts.arch for facts in self.facts.values() if facts.arch})
        return f"{len(names)} models" + (f" of {', '.join(families)}" if families else "")

    @cached_property
    def evaluations(self) -> dict[tuple[Any, ...], Evaluated]:
        """By model, data and samples: the newest of each."""
        found: dict[tuple[Any, ...], Evaluated] = {}
        for run in self.runs:
            body = run.body
            if not isinstance(body, Evaluation):
                continue
            facts = replace(body.model, samples=body.samples or body.model.samples)
            key = (facts.sha256, body.data.name, body.scores.samples, facts.samples)
            if key in found:
                self.notes.append(
                    f"{self.names[facts.sha256]} was evaluated more than once on {body.data.name};"
                    f" shown is {run.path.name}, the newest."
                )
            found[key] = Evaluated(
                model=self.names[facts.sha256],
                form=form(facts),
                evaluation=body,
                confused=_confused(body),
                source=run.path.name,
            )
        return found

    def tasks(self) -> dict[tuple[Any, ...], TaskEvaluated]:
        """Of other tasks, by task, data, model and samples: the newest of each."""
        found: dict[tuple[Any, ...], TaskEvaluated] = {}
        for run in self.runs:
            body = run.body
            if not isinstance(body, TaskEvaluation):
                continue
            facts = replace(body.model, samples=body.samples or body.model.samples)
            key = (body.task, body.data.name, body.data.images, facts.sha256, facts.samples)
            if key in found:
                self.notes.append(
                    f"{self.names[facts.sha256]} was evaluated more than once on {body.data.name};"
                    f" shown is {run.path.name}, the newest."
                )
            found[key] = TaskEvaluated(self.names[facts.sha256], form(facts), body, run.path.name)
        return dict(sorted(found.items(), key=lambda item: item[0][:3]))

    @cached_property
    def accuracies(self) -> dict[tuple[str, str, int], Accuracy]:
        """By model, data and number of images, of models run with their own number of samples."""
        found = {}
        for run in self.runs:
            body = run.body
            if isinstance(body, Benchmark) and body.accuracy is not None and body.data is not None:
                digest, data, scores = body.models[0].sha256, body.data, body.accuracy
            elif isinstance(body, Evaluation):
                digest, data, scores = body.model.sha256, body.data.name, body.scores
                if (body.samples or body.model.samples) != body.model.samples:
                    self.notes.append(
                        f"{run.path.name} evaluates {self.names[digest]} with {body.samples} noise"
                        f" samples; its latency is that of {body.model.samples}, so the two are not"
                        " shown as one point."
                    )
                    continue
            else:
                continue
            found[digest, data, scores.samples] = Accuracy(
                scores.accuracy, scores.low, scores.high, data, scores.samples
            )
        return found

    def timings(self) -> dict[tuple[Any, ...], tuple[Run, ModelFacts, Timing]]:
        """By machine, model, engine, threads and batch: the newest of each."""
        found: dict[tuple[Any, ...], tuple[Run, ModelFacts, Timing]] = {}
        for run in self.runs:
            if not isinstance(run.body, Benchmark):
                continue
            machine = machine_name(run.head.machine)
            models = {model.name: model for model in run.body.models}
            for timing in run.body.results:
                facts = models[timing.model]
                key = (machine, facts.sha256, timing.engine, timing.threads, timing.batch)
                if key in found and found[key][0] is not run:
                    self.notes.append(
                        f"{self.names[facts.sha256]} in {engine_name(timing.engine)}"
                        f" ({_load(timing)}) was timed more than once on {machine}; shown is"
                        f" {run.path.name}, the newest."
                    )
                found[key] = (run, facts, timing)
        return found

    def comparisons(self) -> Iterator[Comparison]:
        """By machine, that with most points first, then by batch, small ones first, and data."""
        timings = self.timings()
        for machine, _ in Counter(machine for machine, *_ in timings).most_common():
            here = {key: entry for key, entry in timings.items() if key[0] == machine}
            measured = {digest for _, digest, *_ in here}
            data = dict.fromkeys(
                (name, images) for digest, name, images in self.accuracies if digest in measured
            )
            for batch in sorted({key[-1] for key in here}):
                entries = [entry for key, entry in here.items() if key[-1] == batch]
                for name, images in [*data] or NO_DATA:
                    points = self.points(entries, name, images)
                    yield Comparison(machine, name, images, batch, points)

    def points(
        self,
        entries: Sequence[tuple[Run, ModelFacts, Timing]],
        data: str | None,
        images: int | None,
    ) -> list[Point]:
        """The points of a comparison, the fastest first."""
        points = [
            Point(
                model=self.names[facts.sha256],
                sha256=facts.sha256,
                form=form(facts),
                timing=timing,
                accuracy=(
                    self.accuracies.get((facts.sha256, data, images))
                    if data is not None and images is not None and timing.engine in SAME_NETWORK
                    else None
                ),
                on_front=False,
                source=run.path.name,
            )
            for run, facts, timing in sorted(entries, key=lambda entry: entry[2].p50_ms)
        ]
        known = [i for i, point in enumerate(points) if point.accuracy]
        chosen = front(
            [points[i].timing.p50_ms for i in known],
            [accuracy.value for point in points if (accuracy := point.accuracy)],
        )
        for i, is_chosen in zip(known, chosen, strict=True):
            points[i] = replace(points[i], on_front=is_chosen)
        return points

    def ratios(self) -> Iterator[RatioRow]:
        for run in self.runs:
            if not isinstance(run.body, Benchmark) or not run.body.models:
                continue
            names = {model.name: self.names[model.sha256] for model in run.body.models}
            base = run.body.models[0].name
            for entry in run.body.ratios:
                if (entry.model, entry.engine) == (base, "sbn"):
                    continue
                yield RatioRow(
                    machine=machine_name(run.head.machine),
                    base=names[base],
                    model=names[entry.model],
                    engine=entry.engine,
                    threads=entry.threads,
                    batch=entry.batch,
                    ratio=entry.ratio,
                    low=entry.low,
                    high=entry.high,
                    source=run.path.name,
                )

    def profiles(self) -> Iterator[Profiled]:
        for run in self.runs:
            if isinstance(run.body, Profile) and run.body.layers:
                yield Profiled(
                    model=self.names[run.body.model.sha256],
                    machine=machine_name(run.head.machine),
                    profile=run.body,
                    source=run.path.name,
                )

    def places(self) -> list[Place]:
        places: dict[str, Place] = {}
        for run in self.runs:
            name = machine_name(run.head.machine)
            place = places.get(name, Place(name, run.head.machine, [], []))
            settings = _settings(run)
            places[name] = replace(
                place,
                # The newest measurement says most truly how the machine is now.
                machine=run.head.machine,
                settings=list(dict.fromkeys([*place.settings, *settings])),
                sources=[*place.sources, run.path.name],
            )
        return list(places.values())

    def note_skipped(self) -> None:
        for entry in self.evaluations.values():
            if skipped := entry.evaluation.data.skipped:
                data = entry.evaluation.data.name
                self.notes.append(
                    f"{count(len(skipped))} files of {data} could not be read when {entry.model}"
                    f" was evaluated and do not count; {entry.source} names them."
                )

    def source(self, run: Run) -> Source:
        machine = run.head.machine
        versions = ((name, getattr(machine, name)) for name in VERSIONS)
        return Source(
            file=run.path.name,
            kind="evaluation"
            if isinstance(run.body, TaskEvaluation)
            else type(run.body).__name__.lower(),
            created=run.head.created,
            command=run.head.command,
            machine=machine_name(machine),
            models=[self.names[model.sha256] for model in _models(run)],
            sha256=hashlib.sha256(run.path.read_bytes()).hexdigest(),
            versions=", ".join(
                f"{name.replace('_', '-')} {version}" for name, version in versions if version
            ),
        )


def _models(run: Run) -> list[ModelFacts]:
    return run.body.models if isinstance(run.body, Benchmark) else [run.body.model]


def _settings(run: Run) -> list[str]:
    body = run.body
    if isinstance(body, Benchmark):
        said = ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for name, value in body.settings.items()
            if value is not None
        )
        return [f"benchmark: {said}"] if said else []
    if isinstance(body, Profile):
        runs = "" if body.runs is None else f"{count(body.runs)} runs, "
        return [f"profile: {runs}threads {body.threads}, batch {body.batch}"]
    return []


def _load(timing: Timing) -> str:
    threads = "1 thread" if timing.threads == 1 else f"{timing.threads} threads"
    return f"{threads}, batch {timing.batch}"


def _confused(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    """The pairs of classes most often confused: true class, predicted class, images."""
    names = evaluation.data.classes
    found = [
        (names[i], names[j], images)
        for i, row in enumerate(evaluation.confusion)
        for j, images in enumerate(row)
        if i != j and images
    ]
    return sorted(found, key=lambda entry: -entry[2])[:CONFUSED]
