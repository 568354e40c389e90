"""Measuring a model on data in memory, whatever its task."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy import tasks
from sbn_deploy.data import Dataset
from sbn_deploy.evaluate.calibrated import Sets, calibration_scores, interval_scores
from sbn_deploy.evaluate.classes import class_names, matched_labels
from sbn_deploy.evaluate.evaluation import Outcome, figures
from sbn_deploy.evaluate.scores import Answers, check_labels
from sbn_deploy.records.evaluation import Data, Metric, NamedScore
from sbn_deploy.tasks.metrics import average_precisions, f1_scores, intersection_over_union
from sbn_runtime import InputError, ModelError, Session
from sbn_runtime.tasks import CLASSIFICATION, NONE, STANDARD_DEVIATION

Array = NDArray[Any]


@dataclass(frozen=True)
class Measured:
    """Answers to a data set, by the names of the outputs, and the time they took."""

    outputs: dict[str, Array]
    seconds: float


def fitted(session: Session, data: Dataset, name: str) -> Dataset:
    """The data as the model's task needs it, its classes in the model's order.

    Args:
        name: of the model, for messages.

    Raises:
        ModelError: the model says no task.
        InputError, ConfigError: the data is not for this task.
    """
    if session.task == NONE:
        raise ModelError(
            f"{name}: does not record its task, so there is nothing to measure; export it with"
            " --task"
        )
    data = data.for_task(session.task)
    if not data.classes:
        return data
    names = session.metadata.get("classes")
    count = len(names) if isinstance(names, list) and names else len(data.classes)
    if data.task != "multilabel":
        return replace(data, labels=matched_labels(session.metadata, data, count))
    columns = replace(data, labels=np.arange(len(data.classes)))
    order = matched_labels(session.metadata, columns, count)
    labels = np.empty_like(data.labels)
    labels[:, order] = data.labels
    return replace(data, labels=labels)


def measure(
    session: Session,
    data: Dataset,
    *,
    batch: int,
    samples: int | None = None,
    seed: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Runs the model on all of the data.

    A model that does not say how its input is normalised is given numbers as they are. Of a
    calibrated classifier the answers are calibrated.

    Args:
        batch: inputs computed at once.
        samples, seed: as for `Session.run`.
        report: called after each batch, with the speed so far.

    Raises what `Session.preprocess` and `Session.run` raise.
    """
    as_it_is = "preprocess" not in session.metadata and not data.pixels
    calibrated = session.calibration is not None and session.task == CLASSIFICATION
    parts = []
    began = time.perf_counter()
    for start in range(0, len(data), batch):
        x = data.images[start : start + batch]
        x = x if as_it_is else session.preprocess(x)
        if calibrated:
            answers = session.predict_proba(x, samples=samples, seed=seed)
            parts.append({tasks.find(session.task).task.answer: answers})
        else:
            parts.append(session.run(x, samples=samples, seed=seed))
        done = min(start + batch, len(data))
        report(f"{done / (time.perf_counter() - began):,.0f} inputs/s")
    outputs = list(parts[0]) if calibrated else _wanted(session)
    return Measured(
        {name: np.concatenate([part[name] for part in parts]) for name in outputs},
        time.perf_counter() - began,
    )


def scored(
    session: Session, data: Dataset, measured: Measured, spec: str, networks: int = 1
) -> dict[str, Any]:
    """What an evaluation says of the answers: its fields but for those of the model.

    They are those of an `Evaluation` for classification, else of a `TaskEvaluation`.

    Args:
        data: of `fitted`.
        spec: how the user named it.
        networks: how many were averaged.

    Raises:
        InputError: the answers do not have the shape of the targets, or a class is unknown.
    """
    objective = tasks.find(session.task)
    answer = measured.outputs[objective.task.answer]
    if session.task == CLASSIFICATION:
        check_labels(data.labels, answer.shape[1])
        known = session.calibration
        scores = None
        if known is not None:
            scores = calibration_scores(
                known,
                networks,
                Answers.of(known.mean(answer, networks), data.labels),
                Sets.of(known, networks, answer, data.labels),
                answer.shape[1],
            )
        outcome = Outcome(Answers.of(answer, data.labels), [], measured.seconds, scores)
        names = class_names(session.metadata, data, answer.shape[1])
        return figures(outcome, data, spec, names)
    _check(answer, data)
    values = objective.scores(answer, data.labels)
    spread = measured.outputs.get(STANDARD_DEVIATION)
    names = class_names(session.metadata, data, answer.shape[1]) if data.classes else []
    return {
        "task": session.task,
        "data": Data(name=data.name, spec=spec, images=len(data), classes=tuple(names)),
        "metrics": tuple(
            Metric(
                key=metric.key,
                title=metric.title,
                form=metric.form,
                better=metric.better,
                value=_number(values[metric.key]),
            )
            for metric in objective.metrics
        ),
        "per_class": tuple(_named(answer, data, names)),
        "intervals": (
            ()
            if session.calibration is None
            else tuple(interval_scores(session.calibration, networks, answer, data.labels))
        ),
        "standard_deviation": None if spread is None else float(spread.mean(dtype=np.float64)),
        "seconds": measured.seconds,
        "images_per_s": len(data) / measured.seconds,
    }


def _wanted(session: Session) -> list[str]:
    """The outputs that are needed to measure: not the rows, which may be many."""
    names = [tasks.find(session.task).task.answer, STANDARD_DEVIATION]
    return [output.name for output in session.outputs if output.name in names]


def _check(answer: Array, data: Dataset) -> None:
    wanted = (len(data), *data.output_shape)
    fits = answer.shape == wanted
    if data.task == "regression":
        fits = answer.size == prod(wanted)
    elif data.task == "segmentation" and answer.ndim == 4:
        # A model may know classes that the data lacks.
        fits = answer.shape[2:] == wanted[2:]
        check_labels(data.labels, answer.shape[1])
    if not fits:
        raise InputError(
            f"{data.name} has targets for answers {list(wanted)}, but the model answers"
            f" {list(answer.shape)}"
        )


def _named(answer: Array, data: Dataset, names: list[str]) -> list[NamedScore]:
    if data.task == "multilabel":
        truth = data.labels.astype(bool)
        precisions, scores = average_precisions(answer, truth), f1_scores(answer >= 0.5, truth)
        return [
            NamedScore(
                name=name,
                count=int(truth[:, k].sum()),
                average_precision=_number(precisions[k]),
                f1=_number(scores[k]),
            )
            for k, name in enumerate(names)
        ]
    if data.task == "segmentation":
        each = intersection_over_union(answer.argmax(axis=1), data.labels, len(names))
        counts = np.bincount(data.labels.ravel(), minlength=len(names))
        return [
            NamedScore(name=name, count=int(counts[k]), iou=_number(each[k]))
            for k, name in enumerate(names)
        ]
    return []


def _number(value: float) -> float | None:
    return None if isnan(value) else float(value)
