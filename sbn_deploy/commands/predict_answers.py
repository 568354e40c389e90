"""What `sbn predict` says of an answer, for each task."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbn_runtime import Anytime, Estimate, Interval, Prediction, PredictionSet
from sbn_runtime.calibrated import UNKNOWN as UNKNOWN_LABEL

from .predict import REJECTED, UNKNOWN

NUMBERS = 6
UNCERTAINTY = ("entropy", "mutual_information", "agreement")
# What a table shows last, where a record has it.
FIGURES = (*UNCERTAINTY, "samples_used")


@dataclass(frozen=True)
class Shown:
    """How one answer is shown.

    Attributes:
        columns: titles of the table's columns behind the file and the index.
        record: (answer, index, names of classes, options) to JSON.
        cells: JSON to the cells of the columns.
    """

    columns: tuple[str, ...]
    record: Callable[[Any, int, Sequence[str], argparse.Namespace], dict[str, Any]]
    cells: Callable[[dict[str, Any]], tuple[str, ...]]


def _classes(
    answer: Prediction, index: int, classes: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    top = _most_probable(answer, index, classes, options.top, "class")
    found: dict[str, Any] = {"top": top}
    accepted = True
    if options.min_confidence is not None:
        accepted = top[0]["probability"] >= options.min_confidence
    if options.reject_unknown is not None:
        found["unknown"] = bool(answer.label[index] == UNKNOWN_LABEL)
        accepted &= not found["unknown"]
    if options.min_confidence is not None or options.reject_unknown is not None:
        found["class"] = top[0]["class"] if accepted else None
    found |= _uncertainty(answer, index, options)
    if isinstance(answer, Anytime):
        found["samples_used"] = int(answer.samples_used[index])
    return found


def _class_cells(record: dict[str, Any]) -> tuple[str, ...]:
    best, *others = record["top"]
    following = ", ".join(f"{entry['class']} {entry['probability']:.1%}" for entry in others)
    refused = UNKNOWN if record.get("unknown") else REJECTED
    name = record.get("class", best["class"]) or refused
    return name, f"{best['probability']:.1%}", following


def _labels(
    answer: Prediction, index: int, classes: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    holding = _most_probable(answer, index, classes, int(answer.label[index].sum()), "label")
    found: dict[str, Any] = {
        "labels": [entry["label"] for entry in holding],
        "top": _most_probable(answer, index, classes, options.top, "label"),
    }
    return found | _uncertainty(answer, index, options)


def _label_cells(record: dict[str, Any]) -> tuple[str, ...]:
    top = ", ".join(f"{entry['label']} {entry['probability']:.1%}" for entry in record["top"])
    return ", ".join(record["labels"]) or "none", top


def _numbers(
    answer: Estimate, index: int, _: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    found = {"prediction": answer.mean[index].tolist()}
    if options.uncertainty:
        found["standard_deviation"] = answer.standard_deviation[index].tolist()
    return found


def _number_cells(record: dict[str, Any]) -> tuple[str, ...]:
    values = np.atleast_1d(record["prediction"]).ravel()
    spread = record.get("standard_deviation")
    spreads = [None] * len(values) if spread is None else np.atleast_1d(spread).ravel()
    shown = [
        f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"
        for value, deviation in zip(values[:NUMBERS], spreads, strict=False)
    ]
    return (", ".join(shown) + (" …" if len(values) > NUMBERS else ""),)


def _areas(
    answer: Prediction, index: int, classes: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    counts = np.bincount(answer.label[index].ravel(), minlength=answer.probabilities.shape[1])
    shares = counts / counts.sum()
    found: dict[str, Any] = {
        "areas": [
            {"class": _name(classes, label), "share": float(shares[label])}
            for label in np.argsort(-shares, kind="stable")[: options.top]
            if shares[label]
        ]
    }
    return found | _uncertainty(answer, index, options)


def _area_cells(record: dict[str, Any]) -> tuple[str, ...]:
    return (", ".join(f"{area['class']} {area['share']:.1%}" for area in record["areas"]),)


def _image(
    answer: Estimate, index: int, _: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    image = answer.mean[index]
    found: dict[str, Any] = {
        "shape": list(image.shape),
        **{name: float(getattr(image, name)()) for name in ("min", "mean", "max")},
    }
    if options.uncertainty:
        found["standard_deviation"] = float(answer.standard_deviation[index].mean())
    return found


def _image_cells(record: dict[str, Any]) -> tuple[str, ...]:
    shape = "x".join(map(str, record["shape"]))
    return shape, f"{record['min']:.4g}", f"{record['mean']:.4g}", f"{record['max']:.4g}"


def set_record(
    sets: PredictionSet | Interval | None, index: int, classes: Sequence[str]
) -> dict[str, Any]:
    """The set, the most probable class first, or the interval of an answer; nothing for None."""
    if sets is None:
        return {}
    if isinstance(sets, Interval):
        return {"low": sets.low[index].tolist(), "high": sets.high[index].tolist()}
    probabilities = sets.probabilities[index]
    order = [k for k in np.argsort(-probabilities, kind="stable") if sets.labels[index, k]]
    return {
        "set": [{"class": _name(classes, k), "probability": float(probabilities[k])} for k in order]
    }


def set_cell(record: dict[str, Any]) -> str:
    """The same in a table."""
    if "set" in record:
        return ", ".join(entry["class"] for entry in record["set"])
    ends = (np.atleast_1d(record[end]).ravel()[:NUMBERS] for end in ("low", "high"))
    return ", ".join(f"{low:.4g} to {high:.4g}" for low, high in zip(*ends, strict=True))


def _most_probable(
    answer: Prediction, index: int, classes: Sequence[str], count: int, what: str
) -> list[dict[str, Any]]:
    probabilities = answer.probabilities[index]
    return [
        {what: _name(classes, label), "probability": float(probabilities[label])}
        for label in probabilities.argsort()[::-1][:count]
    ]


def _uncertainty(answer: Prediction, index: int, options: argparse.Namespace) -> dict[str, float]:
    names = UNCERTAINTY if options.uncertainty else ()
    return {name: float(getattr(answer, name)[index].mean()) for name in names}


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)


SHOWN = {
    "classification": Shown(("class", "probability", "next"), _classes, _class_cells),
    "multilabel": Shown(("labels", "most probable"), _labels, _label_cells),
    "regression": Shown(("prediction",), _numbers, _number_cells),
    "segmentation": Shown(("area",), _areas, _area_cells),
    "image": Shown(("shape", "min", "mean", "max"), _image, _image_cells),
}
