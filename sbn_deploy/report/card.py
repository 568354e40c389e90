"""Model cards: what a model is, how good and how fast it was measured to be, how to use it.

Markdown with the front matter of Hugging Face's model cards.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import jinja2

from sbn_deploy import escape
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.evaluation import Evaluation, Scores, TaskEvaluation
from sbn_deploy.records.measurement import Measurement, Model, describe_model
from sbn_deploy.records.sweep import Sweep
from sbn_deploy.tasks import OBJECTIVES, find
from sbn_runtime import Calibration, Session
from sbn_runtime.preprocess import Preprocess, Standardize, preprocess_from
from sbn_runtime.sound import LogMel
from sbn_runtime.tasks import CLASSIFICATION, NONE

from .collect import Run, collect
from .content import Point
from .decide import NO_LIMITS, decide
from .figures import NONE as DASH
from .hub_names import DATASETS, dataset_id, license_id
from .tables import SHOWN_COVERAGE

TAGS = ("stochastic-binary-network", "binary-neural-network", "onnx", "edge")
# The path of a data set means nothing to others.
_PATHS = re.compile(r"(cifar10|folder|sounds|npz|hf-parquet|webdataset):.+")
_PIPELINES = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "image": "image-to-image",
}
"""What Hugging Face calls tasks whose input is images."""
_ANSWERS = {
    "classification": "distinguishes {count} classes: {names}",
    "multilabel": "predicts which of {count} labels apply: {names}",
    "segmentation": "assigns each pixel to one of {count} classes: {names}",
    "regression": "answers with numbers",
    "image": "answers with an image",
    "none": "gives the outputs of its network",
}


@dataclass(frozen=True)
class Subject:
    """The model that a card is about, with the measurements of all forms of its checkpoint."""

    facts: Model
    metadata: Mapping[str, Any]
    task: str
    runs: Sequence[Run]
    calibration: Calibration | None = None
    named: str = ""

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Of classification, the least accurate first."""
        found = [record for _, record in self.runs if isinstance(record, Evaluation)]
        return sorted(found, key=lambda record: record.scores.accuracy)

    @cached_property
    def tasks(self) -> list[TaskEvaluation]:
        """Of another task."""
        return [record for _, record in self.runs if isinstance(record, TaskEvaluation)]

    @cached_property
    def benchmarks(self) -> list[Benchmark]:
        """Of latency, some with accuracy too."""
        return [record for _, record in self.runs if isinstance(record, Benchmark)]

    @cached_property
    def accuracies(self) -> list[Evaluation | TaskEvaluation | Benchmark]:
        """All that say how good the answers are, but for benchmarks that repeat an evaluation."""
        known = {(e.model.sha256, e.data.name, e.scores.samples) for e in self.evaluations}
        others = [
            record
            for record in self.benchmarks
            if record.accuracy is not None
            and self.is_of(record.models[0])
            and (record.models[0].sha256, record.data, record.accuracy.samples) not in known
        ]
        return [*self.evaluations, *self.tasks, *others]

    @property
    def title(self) -> str:
        """What the card calls the model."""
        return self.named or self.facts.arch or self.facts.name

    @property
    def sound(self) -> LogMel | None:
        """How recordings become the input, of a model that takes them."""
        return self.preprocess.sound if isinstance(self.preprocess, Preprocess) else None

    @property
    def of_images(self) -> bool:
        """Whether the model takes images."""
        return isinstance(self.preprocess, Preprocess) and self.sound is None

    @cached_property
    def preprocess(self) -> Preprocess | Standardize | None:
        """What makes the model's input, if it says so. Raises ModelError if that is damaged."""
        fields = self.metadata.get("preprocess")
        return preprocess_from(fields) if isinstance(fields, dict) else None

    def is_of(self, model: Model) -> bool:
        """Whether a model file is this one or made of the same checkpoint."""
        same = model.checkpoint_sha256 == self.facts.checkpoint_sha256 is not None
        return model.sha256 == self.facts.sha256 or same


def subject(model: Path, runs: Iterable[Run], title: str = "") -> Subject:
    """A model file with those of the measurements that are of it, or of its checkpoint.

    Args:
        title: what to call it; by default its architecture.

    Raises what `Session` raises.
    """
    session = Session(model)
    facts = describe_model(model, session.metadata)
    bare = Subject(facts, session.metadata, session.task, (), session.calibration)
    chosen = [(path, record) for path, record in runs if _concerns(bare, record)]
    return replace(bare, runs=chosen, named=title)


def write_card(about: Subject, *, text: str = "", license: str | None = None) -> str:
    """The card as Markdown.

    Args:
        text: Markdown text to put below the title: what the numbers cannot say.
        license: identifier of the model's license, as "apache-2.0".

    Raises:
        ConfigError: the Hugging Face hub knows no license of this identifier.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(
            lambda name: files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
        ),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        # Names may contain anything: escape whatever is not our own Markdown.
        finalize=_finished,
    )
    environment.filters |= {
        "cells": _cells,
        "code": _code,
        "lines": _lines,
        "python": _python,
        "shell": _shell,
    }
    size = about.preprocess
    classes = about.metadata.get("classes") or []
    page = environment.get_template("card.md.j2").render(
        about=about,
        front_matter=_Markdown(_front_matter(about, license)),
        text=_Markdown(text.strip()),
        form=_form(about.facts),
        size=size,
        colour={1: "grey", 3: "RGB"}.get(getattr(size, "channels", 0), "multi-channel"),
        answers=_ANSWERS[about.task].format(
            count=len(classes), names=", ".join(classes[:12]) + (", …" if len(classes) > 12 else "")
        ),
        accuracies=list(_accuracies(about)),
        scored_on=_scored_on(about),
        metrics=find(about.task).metrics if about.tasks else (),
        tasks=[(_form(record.model), record, _cell(_command(record))) for record in about.tasks],
        exports=list(
            dict.fromkeys(_export(record.model) for record in [*about.evaluations, *about.tasks])
        ),
        confidence=_confidence(about),
        ship=_ship(about),
        benchmarks=[
            (record, list(_timings(about, record)), _command(record)) for record in about.benchmarks
        ],
        classification=about.task == CLASSIFICATION,
        unknown=about.task == NONE,
        origin=_origin(about),
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def _concerns(about: Subject, record: Measurement) -> bool:
    if isinstance(record, Benchmark):
        return any(map(about.is_of, record.models))
    if isinstance(record, Evaluation | TaskEvaluation):
        task = record.task if isinstance(record, TaskEvaluation) else CLASSIFICATION
        return task == about.task and about.is_of(record.model)
    return isinstance(record, Sweep) and record.checkpoint_sha256 == about.facts.checkpoint_sha256


def _front_matter(about: Subject, license: str | None) -> str:
    kind = _PIPELINES.get(about.task) if about.of_images else None
    main = find(about.task).main.key if about.task in OBJECTIVES else None
    trained_on = about.facts.trained_on
    results = [
        {
            "task": {"type": kind or about.task},
            "dataset": {"name": data or "unknown", "type": dataset_id(data)},
            "metrics": [
                {"type": main, "value": round(value, 4), "name": f"{main}, {_form(model)}"}
            ],
        }
        for model, data, value in _main_values(about)
    ]
    entries: dict[str, Any] = {
        "license": None if license is None else license_id(license),
        "library_name": "sbn-deploy",
        "pipeline_tag": kind,
        "tags": list(TAGS),
        "datasets": [DATASETS[trained_on]] if trained_on in DATASETS else None,
        "metrics": [main] if main else None,
        "model-index": [{"name": about.title, "results": results}] if results else None,
    }
    # JSON is YAML.
    return "\n".join(
        f"{key}: {json.dumps(value)}" for key, value in entries.items() if value is not None
    ).replace("<", r"\u003c")


def _main_values(about: Subject) -> Iterator[tuple[Model, str, float]]:
    """Model, data and the metric to choose by."""
    for record in about.accuracies:
        if isinstance(record, Benchmark):
            assert record.accuracy is not None
            yield record.models[0], record.data or "", record.accuracy.accuracy
        elif isinstance(record, Evaluation):
            yield record.model, record.data.name, record.scores.accuracy
        elif (value := record.metrics[0].value) is not None:
            yield record.model, record.data.name, value


def _accuracies(about: Subject) -> Iterator[tuple[str, ...]]:
    """The rows on classification, the least accurate first."""
    rows: list[tuple[Model, Scores, Measurement]] = []
    for record in about.accuracies:
        if isinstance(record, Evaluation):
            rows.append((record.model, record.scores, record))
        elif isinstance(record, Benchmark) and record.accuracy is not None:
            rows.append((record.models[0], record.accuracy, record))
    for model, scores, measured in sorted(rows, key=lambda row: row[1].accuracy):
        yield (
            _form(model),
            f"{scores.accuracy:.2%}",
            f"{scores.confidence_low:.2%} to {scores.confidence_high:.2%}",
            *(f"{value:.3f}" for value in (scores.nll, scores.brier, scores.ece)),
            _cell(_command(measured)),
        )


def _scored_on(about: Subject) -> str:
    images = {(record.data.name, record.data.images) for record in about.evaluations} | {
        (record.data or "", record.accuracy.samples)
        for record in about.benchmarks
        if record.accuracy
    }
    return ", ".join(f"{count:,} test images of {name}" for name, count in sorted(images))


def _timings(about: Subject, record: Benchmark) -> Iterator[tuple[str, ...]]:
    own = {model.name: model for model in record.models if about.is_of(model)}
    for timing in record.results:
        if timing.model not in own or not timing.enough:
            continue
        low, high = timing.prediction_low_ms, timing.prediction_high_ms
        yield (
            _form(own[timing.model]),
            timing.engine,
            str(timing.threads),
            str(timing.batch),
            f"{timing.p50_ms:.3f}",
            DASH if low is None else f"{low:.3f} to {high:.3f}",
            DASH if timing.p99_ms is None else f"{timing.p99_ms:.3f}",
            DASH if timing.images_per_s is None else f"{timing.images_per_s:,.0f}",
            DASH if timing.file_bytes is None else f"{timing.file_bytes / 1000:,.0f}",
        )


def _confidence(about: Subject) -> list[str]:
    """What the calibration of the file says, and what evaluations found of it: Markdown."""
    known = about.calibration
    if known is None:
        return []
    said = [
        f"The file is calibrated on {known.images:,} inputs of {escape.markdown(known.data)}, its"
        f" {escape.markdown(known.split)} part."
    ]
    if known.intervals is not None:
        return [
            *said,
            "`predict_set(x, coverage=0.9)` gives intervals that contain the true number for 90"
            " % of inputs like these.",
        ]
    figures = known.measured
    said.append(
        f"Its expected calibration error on held-out fifths of them is {figures['ece']:.2%}, and"
        f" was {figures['raw_ece']:.2%} before."
    )
    own = [e for e in about.evaluations if e.model.sha256 == about.facts.sha256 and e.calibration]
    sets = [
        (e.data.name, entry)
        for e in own
        if e.calibration
        for entry in e.calibration.sets
        if entry.asked == SHOWN_COVERAGE
    ]
    said.append(
        "`predict_set(x, coverage=0.9)` gives sets of classes that contain the true one for 90 %"
        " of images like these"
        + "".join(
            f"; on {escape.markdown(data)} they do in {entry.coverage:.2%}"
            f" ({entry.confidence_low:.2%} to {entry.confidence_high:.2%}), with"
            f" {entry.size:.2f} classes on average"
            for data, entry in sets
        )
        + "."
    )
    if known.unknown is not None:
        score = known.unknown.score.replace("_", " ")
        said.append(
            f'`predict(x, reject="unknown")` gives no class to images whose {score} is above that'
            " of 95 % of them."
        )
    return said


def _ship(about: Subject) -> Point | None:
    """The form to ship, by the decision of reports and sweeps; None where there is no choice."""
    if not about.evaluations or not about.benchmarks:
        return None
    sweeps = [record.limits for _, record in about.runs if isinstance(record, Sweep)]
    comparisons = collect(about.runs).comparisons
    points = comparisons[0].points if comparisons else []
    if sum(point.accuracy is not None for point in points) < 2:
        return None
    return decide(points, sweeps[-1] if sweeps else NO_LIMITS).ship


def _origin(about: Subject) -> list[tuple[str, str]]:
    entries = {
        "architecture": about.facts.arch,
        "settings": json.dumps(about.metadata.get("config")),
        "trained on": about.facts.trained_on,
        "SHA-256 of the file": about.facts.sha256,
        "SHA-256 of the checkpoint": about.facts.checkpoint_sha256,
        "exported by": f"sbn-deploy {about.metadata.get('sbn_deploy')}",
    }
    return [(key, _cell(value)) for key, value in entries.items() if value]


def _form(model: Model) -> str:
    """How a checkpoint became a file, in words."""
    words = "thresholded weights"
    if model.weights == "sample":
        words = f"{model.members} sampled members" if model.members > 1 else "sampled weights"
    if model.activations == "stochastic":
        words += f", {model.samples} samples of the noise"
    return words


def _export(model: Model) -> _Markdown:
    """The command that makes a file."""
    words = ["sbn", "export", "checkpoint.safetensors", "-o", escape.shell(_argument(model.file))]
    if model.weights == "sample":
        words.append(f"--weights sample --members {model.members} --seed {model.seed}")
    if model.activations == "stochastic":
        words.append(f"--activations stochastic --samples {model.samples}")
        words.append(f"--noise-seed {model.noise_seed}")
    return _Markdown(" ".join(words))


def _command(record: Measurement) -> str:
    """The command behind a measurement, without paths that only its machine has."""
    try:
        words = shlex.split(record.command)
    except ValueError:
        # Not one of ours: shown as it is.
        return record.command
    return " ".join(_public(word) for word in words)


def _public(word: str) -> str:
    """An argument of a command without the folders of this machine, quoted."""
    if data := _PATHS.fullmatch(word):
        return f"{data[1]}:PATH"
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(word).is_absolute():
            return escape.shell(kind(word).name)
    return escape.shell(word)


def _argument(file: str) -> str:
    """The name of a file so that no command takes it for an option."""
    return f"./{file}" if file.startswith("-") else file


class _Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def _finished(value: object) -> str:
    return value if isinstance(value, _Markdown) else escape.markdown(str(value))


def _cells(row: Iterable[object]) -> _Markdown:
    return _Markdown(" | ".join(map(_finished, row)))


def _lines(commands: Iterable[str]) -> _Markdown:
    return _Markdown("\n".join(commands))


def _code(text: str) -> _Markdown:
    return _Markdown(escape.markdown_code(text))


def _cell(text: str) -> _Markdown:
    return _Markdown(escape.markdown_cell(text))


def _python(text: str) -> _Markdown:
    return _Markdown(escape.python(text))


def _shell(file: str) -> str:
    return escape.shell(_argument(file))
