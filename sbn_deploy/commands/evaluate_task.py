"""`sbn evaluate` for inputs that are no images, and for other tasks than classification."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .common import say, show_table

BATCH = 64
WORST = 20


def applies(model: Path, spec: str) -> bool:
    """Whether the data or the model is of that kind. Raises what `Session` and `data` raise."""
    from sbn_deploy.data import is_classified_images
    from sbn_runtime import Session
    from sbn_runtime.executor import DOMAIN
    from sbn_runtime.modelfile import imported_domains
    from sbn_runtime.tasks import CLASSIFICATION, NONE

    if not is_classified_images(spec):
        return True
    if DOMAIN not in imported_domains(model):
        return False
    return Session(model).task not in (CLASSIFICATION, NONE)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """The measurement.

    Raises what `tasks.fitted`, `measure` and `scored` raise.
    """
    import numpy as np

    from sbn_deploy.data import load
    from sbn_deploy.measure.accuracy import tasks
    from sbn_deploy.measure.measurement import describe_model, head
    from sbn_deploy.train.progress import progress
    from sbn_runtime import Session, sampling

    path = options.models[0]
    session = Session(path, threads=options.threads)
    whole = tasks.fitted(session, load(options.data, "test"), str(path))
    data = whole
    if options.images is not None and options.images < len(whole):
        data = whole.take(np.linspace(0, len(whole) - 1, options.images).round().astype(np.int64))
    batch = options.batch or BATCH
    say(f"measuring {len(data):,} inputs of {data.name}, task {session.task}")
    with progress("batches", -(-len(data) // batch)) as report:
        found = tasks.measure(
            session, data, batch=batch, samples=options.samples, seed=options.seed, report=report
        )
    default = sampling.defaults(session.metadata) if session.stochastic else None
    return {
        **head("evaluation"),
        "model": asdict(describe_model(path, session.metadata)),
        "engine": "sbn",
        "samples": options.samples or (default.samples if default else 1),
        "seed": options.seed if options.seed is not None else default.seed if default else None,
        **tasks.scored(session, data, found, options.data),
    }


def show(measurement: Mapping[str, Any]) -> None:
    """The metrics, then each label or class."""
    from sbn_deploy.tasks import find

    values = {metric["key"]: metric["value"] for metric in measurement["metrics"]}
    rows = [
        (metric.title, metric.show(values[metric.key]))
        for metric in find(measurement["task"]).metrics
    ]
    if measurement["standard_deviation"] is not None:
        rows.append(
            ("mean standard deviation of answers", f"{measurement['standard_deviation']:.4g}")
        )
    show_table(("metric", f"on {measurement['data']['images']:,} inputs"), rows)
    scores = measurement["per_class"]
    if not scores:
        return
    titles = {"average_precision": "average precision", "f1": "F1", "iou": "IoU"}
    shown = [key for key in titles if any(score[key] is not None for score in scores)]
    if not shown:
        return
    title = "name"
    if len(scores) > WORST:
        known = [score for score in scores if score[shown[0]] is not None]
        scores = sorted(known, key=lambda score: score[shown[0]])[:WORST]
        title = "worst"
    print()
    counted = "pixels" if measurement["task"] == "segmentation" else "inputs"
    show_table(
        (title, counted, *(titles[key] for key in shown)),
        [
            (
                score["name"],
                score["count"],
                *(None if score[key] is None else f"{score[key]:.2%}" for key in shown),
            )
            for score in scores
        ],
    )
