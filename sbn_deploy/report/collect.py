"""Combines measurements: which belong to one model, and which may be compared."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sbn_deploy.engines.table import same_network, shown_as
from sbn_deploy.records.benchmark import FEWEST_CALLS, Benchmark, Timing
from sbn_deploy.records.evaluation import Evaluation, TaskEvaluation
from sbn_deploy.records.measurement import Measurement
from sbn_deploy.records.measurement import Model as ModelFile
from sbn_deploy.records.profile import Profile
from sbn_deploy.records.sweep import Sweep
from sbn_deploy.tasks import OBJECTIVES
from sbn_runtime.errors import InputError

from .choose import choices
from .content import (
    FORMAT,
    VERSION,
    Accuracy,
    Comparison,
    DeviceRow,
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
)
from .decide import NO_LIMITS, with_front
from .figures import count
from .names import Where, form, machine_names, model_names

M = TypeVar("M", bound=Measurement)
Run = tuple[Path, Measurement]
"""A measurement and the file that it is in."""

CONFUSED = 5
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
        for path, record in runs:
            if isinstance(record, TaskEvaluation):
                _check_task(record, path)
        self.runs = [run for run in runs if not isinstance(run[1], Sweep)]
        # What the user asked of the newest sweep.
        sweeps = [record for _, record in runs if isinstance(record, Sweep)]
        self.limits = sweeps[-1].limits if sweeps else NO_LIMITS
        self.notes: list[str] = []
        self.facts = {model.sha256: model for _, record in self.runs for model in _models(record)}
        self.names = model_names(self.facts.values())
        self.machines = machine_names(Where.of(record) for _, record in self.runs)

    def machine(self, record: Measurement) -> str:
        return self.machines[Where.of(record)]

    def of_kind(self, kind: type[M]) -> Iterator[tuple[Path, M]]:
        return ((path, record) for path, record in self.runs if isinstance(record, kind))

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
                " ".join(dict.fromkeys(self.notes))
                or "the measurements contain no results; measure again with sbn benchmark,"
                " profile or evaluate"
            )
        self.note_skipped()
        rules = {record.rule for _, record in self.of_kind(Benchmark)} - {None}
        return Report(
            format=FORMAT,
            version=VERSION,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            title=self.title(),
            choices=choices(comparisons, ratios, evaluations, tasks, profiles, self.limits),
            unstable=[
                Warned(reason, path.name)
                for path, record in self.of_kind(Benchmark)
                for reason in record.unstable
            ],
            rules=sorted(rule for rule in rules if rule),
            notes=self.notes,
            places=self.places(),
            models=[
                Model(self.names[digest], form(facts), facts)
                for digest, facts in self.facts.items()
            ],
            comparisons=comparisons,
            devices=list(self.devices()),
            ratios=ratios,
            evaluations=evaluations,
            tasks=tasks,
            profiles=profiles,
            sources=[self.source(*run) for run in self.runs],
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
        for path, body in self.of_kind(Evaluation):
            facts = replace(body.model, samples=body.samples or body.model.samples)
            key = (facts.sha256, body.data.name, body.scores.samples, facts.samples)
            if key in found:
                self.notes.append(
                    f"{self.names[facts.sha256]} was evaluated more than once on {body.data.name};"
                    f" shown is {path.name}, the newest."
                )
            found[key] = Evaluated(
                model=self.names[facts.sha256],
                form=form(facts),
                evaluation=body,
                confused=_confused(body),
                source=path.name,
            )
        return found

    def tasks(self) -> dict[tuple[Any, ...], TaskEvaluated]:
        """Of other tasks, by task, data, model and samples: the newest of each."""
        found: dict[tuple[Any, ...], TaskEvaluated] = {}
        for path, body in self.of_kind(TaskEvaluation):
            facts = replace(body.model, samples=body.samples or body.model.samples)
            key = (body.task, body.data.name, body.data.images, facts.sha256, facts.samples)
            if key in found:
                self.notes.append(
                    f"{self.names[facts.sha256]} was evaluated more than once on {body.data.name};"
                    f" shown is {path.name}, the newest."
                )
            found[key] = TaskEvaluated(self.names[facts.sha256], form(facts), body, path.name)
        return dict(sorted(found.items(), key=lambda item: item[0][:3]))

    @cached_property
    def accuracies(self) -> dict[tuple[str, str, int], Accuracy]:
        """By model, data and number of images, of models run with their own number of samples."""
        found = {}
        for path, body in self.runs:
            if isinstance(body, Benchmark) and body.accuracy is not None and body.data is not None:
                digest, data, scores = body.models[0].sha256, body.data, body.accuracy
            elif isinstance(body, Evaluation):
                digest, data, scores = body.model.sha256, body.data.name, body.scores
                if (body.samples or body.model.samples) != body.model.samples:
                    self.notes.append(
                        f"{path.name} evaluates {self.names[digest]} with {body.samples} noise"
                        f" samples; its latency is that of {body.model.samples}, so the two are not"
                        " shown as one point."
                    )
                    continue
            else:
                continue
            found[digest, data, scores.samples] = Accuracy(
                scores.accuracy,
                scores.confidence_low,
                scores.confidence_high,
                data,
                scores.samples,
            )
        return found

    @cached_property
    def timings(self) -> dict[tuple[Any, ...], tuple[Path, ModelFile, Timing]]:
        """By machine, model, engine, threads and batch: the newest of each."""
        found: dict[tuple[Any, ...], tuple[Path, ModelFile, Timing]] = {}
        for path, record in self.of_kind(Benchmark):
            machine = self.machine(record)
            models = {model.name: model for model in record.models}
            for timing in record.results:
                facts = models[timing.model]
                if not timing.enough:
                    self.notes.append(
                        f"{path.name}: {self.names[facts.sha256]} in {shown_as(timing.engine)}"
                        f" ({_load(timing)}) has {timing.runs} of the {FEWEST_CALLS} calls that"
                        " figures need; it is left out."
                    )
                    continue
                key = (machine, facts.sha256, timing.engine, timing.threads, timing.batch)
                if key in found and found[key][0] != path:
                    self.notes.append(
                        f"{self.names[facts.sha256]} in {shown_as(timing.engine)}"
                        f" ({_load(timing)}) was timed more than once on {machine}; shown is"
                        f" {path.name}, the newest."
                    )
                found[key] = (path, facts, timing)
        return found

    def comparisons(self) -> Iterator[Comparison]:
        """By machine, that with most points first, then by batch, small ones first, and data."""
        for machine, _ in Counter(machine for machine, *_ in self.timings).most_common():
            here = {key: entry for key, entry in self.timings.items() if key[0] == machine}
            for batch in sorted({key[-1] for key in here}):
                entries = [entry for key, entry in here.items() if key[-1] == batch]
                yield from self.of_each_data(machine, batch, entries)

    def of_each_data(
        self, machine: str, batch: int, entries: Sequence[tuple[Path, ModelFile, Timing]]
    ) -> Iterator[Comparison]:
        """A comparison for each set of images that any of the entries has an accuracy on."""
        any_known = False
        for data, images in dict.fromkeys((name, images) for _, name, images in self.accuracies):
            points = self.points(entries, data, images)
            if any(point.accuracy for point in points):
                any_known = True
                yield Comparison(machine, data, images, batch, points)
        if not any_known:
            yield Comparison(machine, None, None, batch, self.points(entries, None, None))

    def points(
        self,
        entries: Sequence[tuple[Path, ModelFile, Timing]],
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
                    if data is not None and images is not None and same_network(timing.engine)
                    else None
                ),
                on_front=False,
                source=path.name,
            )
            for path, facts, timing in sorted(entries, key=lambda entry: entry[2].p50_ms)
        ]
        return with_front(points)

    def devices(self) -> Iterator[DeviceRow]:
        """By model, engine, batch and threads, what more than one machine was measured with, the
        fastest first. Engines that run the file count as one: not every device has all of them."""
        loads: dict[tuple[Any, ...], list[DeviceRow]] = defaultdict(list)
        records = dict(self.runs)
        for (machine, *_), (path, facts, timing) in self.timings.items():
            record = records[path]
            assert isinstance(record, Benchmark)
            remote = record.remote
            classified = record.accuracy is not None and record.models[0].sha256 == facts.sha256
            scores = record.accuracy if classified and same_network(timing.engine) else None
            engine = "" if same_network(timing.engine) else timing.engine
            loads[self.names[facts.sha256], engine, timing.batch, timing.threads].append(
                DeviceRow(
                    device=None if remote is None else remote.host,
                    machine=machine,
                    model=self.names[facts.sha256],
                    timing=timing,
                    temperature_c=None if record.after is None else record.after.temperature_c,
                    accuracy=None if scores is None else scores.accuracy,
                    images=None if scores is None else scores.samples,
                    differing=None if scores is None or remote is None else remote.differing_labels,
                    steady=not record.unstable,
                    source=path.name,
                )
            )
        for _, rows in sorted(loads.items()):
            if len({row.machine for row in rows}) > 1:
                yield from sorted(rows, key=lambda row: row.timing.p50_ms)

    def ratios(self) -> Iterator[RatioRow]:
        for path, record in self.of_kind(Benchmark):
            if not record.results:
                continue
            names = {model.name: self.names[model.sha256] for model in record.models}
            base = (record.results[0].model, record.results[0].engine)
            few = {
                (timing.model, timing.engine, timing.threads, timing.batch)
                for timing in record.results
                if not timing.enough
            }
            for entry in record.ratios:
                load = (entry.threads, entry.batch)
                if (entry.model, entry.engine) == base:
                    continue
                if few & {(entry.model, entry.engine, *load), (*base, *load)}:
                    continue
                yield RatioRow(
                    machine=self.machine(record),
                    base=names[base[0]],
                    base_engine=base[1],
                    model=names[entry.model],
                    engine=entry.engine,
                    threads=entry.threads,
                    batch=entry.batch,
                    ratio=entry.ratio,
                    low=entry.prediction_low,
                    high=entry.prediction_high,
                    source=path.name,
                )

    def profiles(self) -> Iterator[Profiled]:
        for path, record in self.of_kind(Profile):
            if record.layers:
                yield Profiled(
                    model=self.names[record.model.sha256],
                    machine=self.machine(record),
                    profile=record,
                    source=path.name,
                )

    def places(self) -> list[Place]:
        places: dict[str, Place] = {}
        for path, record in self.runs:
            name = self.machine(record)
            place = places.get(name, Place(name, record.machine, [], []))
            places[name] = replace(
                place,
                # The newest measurement describes the machine best.
                machine=record.machine,
                settings=list(dict.fromkeys([*place.settings, *_settings(record)])),
                sources=[*place.sources, path.name],
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

    def source(self, path: Path, record: Measurement) -> Source:
        machine = record.machine
        versions = ((name, getattr(machine, name)) for name in VERSIONS)
        return Source(
            file=path.name,
            kind=record.kind,
            created=record.created,
            command=record.command,
            machine=self.machine(record),
            models=[self.names[model.sha256] for model in _models(record)],
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            versions=", ".join(
                f"{name.replace('_', '-')} {version}" for name, version in versions if version
            ),
        )


def _models(record: Measurement) -> Sequence[ModelFile]:
    if isinstance(record, Benchmark):
        return record.models
    if isinstance(record, Evaluation | TaskEvaluation | Profile):
        return [record.model]
    return []


def _settings(record: Measurement) -> list[str]:
    if isinstance(record, Benchmark):
        settings = record.settings
        said = [f"warmup {settings.warmup}"]
        if settings.runs is not None:
            said.insert(0, f"runs {settings.runs}")
        if settings.max_seconds is not None:
            said.append(f"at most {settings.max_seconds:g} s")
        return [f"benchmark: {', '.join(said)}"]
    if isinstance(record, Profile):
        runs = "" if record.runs is None else f"{count(record.runs)} runs, "
        return [f"profile: {runs}threads {record.threads}, batch {record.batch}"]
    return []


def _check_task(record: TaskEvaluation, path: Path) -> None:
    if record.task not in OBJECTIVES:
        raise InputError(f"{path} is of unknown task {record.task!r}; measure again")
    known = [metric.key for metric in OBJECTIVES[record.task].metrics]
    if [metric.key for metric in record.metrics] != known:
        raise InputError(f"{path} has other metrics than {', '.join(known)}; measure again")


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
