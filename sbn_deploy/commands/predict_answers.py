"""What `sbn predict` says of an answer, for each task but classification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbn_runtime import Estimate, Prediction

NUMBERS = 6


@dataclass(frozen=True)
class Shown:
    """How one answer is shown.

    Attributes:
        columns: titles of the table's columns behind the file and the index.
        record: (answer, index, names of classes, --top, --uncertainty) to JSON.
        cells: JSON to the cells of the columns.
    """

    columns: tuple[str, ...]
    record: Callable[[Any, int, Sequence[str], int, bool], dict[str, Any]]
    cells: Callable[[dict[str, Any]], tuple[str, ...]]


def _labels(
    answer: Prediction, index: int, classes: Sequence[str], top: int, uncertain: bool
) -> dict[str, Any]:
    best = answer.probabilities[index].argsort()[::-1]
    holding = int(answer.label[index].sum())
    found: dict[str, Any] = {
        "labels": [_name(classes, label) for label in best[:holding]],
        "top": [
            {
                "label": _name(classes, label),
                "probability": float(answer.probabilities[index, label]),
            }
            for label in best[:top]
        ],
    }
    if uncertain:
        for name in ("entropy", "mutual_information", "agreement"):
            found[name] = float(getattr(answer, name)[index].mean())
    return found


def _label_cells(record: dict[str, Any]) -> tuple[str, ...]:
    top = ", ".join(f"{entry['label']} {entry['probability']:.1%}" for entry in record["top"])
    return ", ".join(record["labels"]) or "none", top


def _numbers(
    answer: Estimate, index: int, _: Sequence[str], __: int, uncertain: bool
) -> dict[str, Any]:
    found = {"prediction": answer.mean[index].tolist()}
    if uncertain:
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
    answer: Prediction, index: int, classes: Sequence[str], top: int, uncertain: bool
) -> dict[str, Any]:
    counts = np.bincount(answer.label[index].ravel(), minlength=answer.probabilities.shape[1])
    shares = counts / counts.sum()
    found: dict[str, Any] = {
        "areas": [
            {"class": _name(classes, label), "share": float(shares[label])}
            for label in np.argsort(-shares, kind="stable")[:top]
            if shares[label]
        ]
    }
    if uncertain:
        for name in ("entropy", "mutual_information", "agreement"):
            found[name] = float(getattr(answer, name)[index].mean())
    return found


def _area_cells(record: dict[str, Any]) -> tuple[str, ...]:
    return (", ".join(f"{area['class']} {area['share']:.1%}" for area in record["areas"]),)


def _image(
    answer: Estimate, index: int, _: Sequence[str], __: int, uncertain: bool
) -> dict[str, Any]:
    image = answer.mean[index]
    found: dict[str, Any] = {
        "shape": list(image.shape),
        **{name: float(getattr(image, name)()) for name in ("min", "mean", "max")},
    }
    if uncertain:
        found["standard_deviation"] = float(answer.standard_deviation[index].mean())
    return found


def _image_cells(record: dict[str, Any]) -> tuple[str, ...]:
    shape = "x".join(map(str, record["shape"]))
    return shape, f"{record['min']:.4g}", f"{record['mean']:.4g}", f"{record['max']:.4g}"


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)


SHOWN = {
    "multilabel": Shown(("labels", "most probable"), _labels, _label_cells),
    "regression": Shown(("prediction",), _numbers, _number_cells),
    "segmentation": Shown(("area",), _areas, _area_cells),
    "image": Shown(("shape", "min", "mean", "max"), _image, _image_cells),
}
