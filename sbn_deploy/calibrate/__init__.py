"""`sbn calibrate`: a file's confidence, fitted on held-out data and written into it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.data import Dataset, calibrating
from sbn_deploy.data.calibrating import FEW
from sbn_deploy.data.digests import TRAINING_IMAGES, Sketch, digests
from sbn_deploy.evaluate.scores import check_labels
from sbn_deploy.evaluate.shift import SHIFTS, shifted
from sbn_deploy.evaluate.tasks import fitted
from sbn_deploy.train.progress import progress
from sbn_runtime import InputError, ModelError, Session, calibration_json
from sbn_runtime.calibration import KEY, TASKS, Calibration
from sbn_runtime.files import write_atomically
from sbn_runtime.modelfile import DOMAIN, external_files, imported_domains, weights_digest
from sbn_runtime.preprocess import Preprocess, preprocess_from
from sbn_runtime.tasks import CLASSIFICATION

from . import fit, measure
from .measure import BATCH, Counts
from .rewrite import read_metadata, with_metadata

__all__ = ["Calibrated", "calibrate"]

MISSING = 5
SHIFTED = 500
"""Images of each shift with which the scores of unknown images are compared."""


@dataclass(frozen=True)
class Calibrated:
    """What `calibrate` wrote, with warnings.

    Attributes:
        path: the file.
        calibration: what is in it now.
        notes: warnings, one sentence each.
    """

    path: Path
    calibration: Calibration
    notes: tuple[str, ...]


def calibrate(
    model: Path,
    data: Dataset,
    split: str,
    *,
    output: Path | None = None,
    threads: int | None = None,
    trusted: bool = False,
) -> Calibrated:
    """Measures a file on held-out data and writes the calibration into it, atomically. An existing
    calibration is replaced. See `sbn_runtime.calibration` for what is
    measured.

    Args:
        model: ONNX file of `sbn export`.
        data: inputs with targets that the network was not trained on; they may be in storage.
        split: which part of the data set that is, to be noted.
        output: write a copy there instead.
        trusted: the data was held out by the training itself, so there is no warning where the
            file does not record its training images, which those from storage are not.

    Raises:
        InputError: too few inputs, inputs that were trained on, classes that the model or the
            data lacks, inputs that do not fit the model; a copy that would lack constants.
        ModelError: the file cannot be used, or has another task than classification and
            regression.
        OutputError: the file cannot be written.
    """
    content = _content(model)
    beside = external_files(model)
    if beside and output is not None and output.parent.resolve() != model.parent.resolve():
        raise InputError(
            f"{model}: has constants in {beside[0]}, which a copy in {output.parent} would lack;"
            " write it beside the model"
        )
    metadata = read_metadata(content, model)
    metadata.pop(KEY, None)
    # Without a calibration, which could be of other weights, or be applied. Constants beside the
    # file stay open in the session.
    folder = model.parent if beside else None
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".onnx", delete=False) as bare:
        bare.write(with_metadata(content, metadata, model))
    try:
        session = Session(bare.name, threads=threads)
    finally:
        os.unlink(bare.name)
    if session.task not in TASKS:
        raise ModelError(
            f"{model}: its task is {session.task}; calibration is for {' and '.join(TASKS)}"
        )
    data = fitted(session, data, str(model))
    notes = _check(session, data, metadata, model, trusted)
    wanted = measure.counts(session)
    make = _of_classes if session.task == CLASSIFICATION else _of_numbers
    figures = make(session, data, wanted)
    made = Calibration(
        task=session.task,
        weights_sha256=weights_digest(model),
        data=data.name,
        split=split,
        images=len(data),
        networks=wanted.networks,
        levels=fit.levels(len(data)),
        class_networks=wanted.default,
        **figures,
    )
    said = made.to_json()
    # Never write what cannot be read back.
    calibration_json.check(calibration_json.read(said, model), session.task, None, model)
    target = output or model
    write_atomically(target, with_metadata(content, {**metadata, KEY: said}, model))
    return Calibrated(target, made, tuple(notes))


def _content(model: Path) -> bytes:
    # Its name is checked, and that it is one of ours.
    if DOMAIN not in imported_domains(model):
        raise ModelError(f"{model}: has no sbn operators; write the file with `sbn export`")
    return model.read_bytes()


def _check(
    session: Session, data: Dataset, metadata: dict[str, Any], model: Path, trusted: bool
) -> list[str]:
    """What to warn of. Raises InputError for data that cannot be calibrated on."""
    calibrating.check(data)
    count, notes = len(data), []
    if count < FEW:
        points = 100 * (0.09 / count) ** 0.5
        notes.append(
            f"{count} inputs are few: sets at a coverage of 90 % will really cover 90 % ±"
            f" {2 * points:.0f} points; {FEW:,} or more are better"
        )
    said = metadata.get(TRAINING_IMAGES)
    if said is None and not trusted:
        notes.append(
            f"{model} does not record its training images (they were read from storage, or the file"
            f" is older, or from elsewhere): make sure that {data.name} has none of them"
        )
    elif said is not None:
        sketch = Sketch.parse(said)
        found = digests(data.images)
        share, (asked, known) = sketch.overlap(found), sketch.asked(found)
        if share:
            raise InputError(
                f"{share:.0%} of the checkable inputs of {data.name} were trained on, where a"
                " network is more confident and more often right than elsewhere; calibrate on"
                " others, or hold some out with `sbn train --calibrate`"
            )
        if known:
            notes.append(
                f"{known} of the {asked} inputs of {data.name} that can be checked are training"
                " inputs too: duplicates, if this is another part of the data"
            )
    if session.task == CLASSIFICATION:
        present = set(np.unique(data.labels).tolist())
        missing = [name for k, name in enumerate(data.classes) if k not in present]
        if missing:
            names = ", ".join(missing[:MISSING]) + (", …" if len(missing) > MISSING else "")
            notes.append(
                f"{data.name} has no image of {names}: there is no guarantee for"
                f" {'it' if len(missing) == 1 else 'them'}"
            )
    return notes


def _of_classes(session: Session, data: Dataset, wanted: Counts) -> dict[str, Any]:
    """The entries of a `Calibration` of a classifier."""
    part = data.evenly(SHIFTED)
    part = replace(part, images=part.images[:])
    changed = _shifted(part, session)
    steps = sum(map(_batches, (data, part, *changed)))
    with progress("calibrating", steps) as report:
        own = measure.ood_scores(session, part, wanted, report)
        strange = {
            other.name.removeprefix(f"{data.name}, "): measure.ood_scores(
                session, other, wanted, report
            )
            for other in changed
        }
        chosen, aurocs = fit.best_score(own, strange)
        found = measure.classify(session, data, wanted, chosen, report)
    check_labels(data.labels, found.means.shape[2])
    scaling = fit.scaling(found.means, data.labels, wanted)
    default = found.means[wanted.networks.index(wanted.default)]
    calibrated = fit.cross_fitted(default, data.labels, scaling.of_folds)
    return {
        "measured": scaling.measured,
        "temperatures": scaling.temperatures,
        "offsets": scaling.offsets,
        "quantiles": fit.set_quantiles(found, data.labels, scaling),
        "by_class": fit.class_quantiles(calibrated, data.labels, fit.levels(len(data))),
        "unknown": fit.unknown(chosen, found.scores, aurocs),
        "intervals": None,
    }


def _of_numbers(session: Session, data: Dataset, wanted: Counts) -> dict[str, Any]:
    """The entries of a `Calibration` of a regression."""
    with progress("calibrating", _batches(data)) as report:
        answers = measure.regress(session, data, wanted, report)
    targets = data.labels.reshape(len(data), -1).astype(np.float64)
    if targets.shape != answers.shape[1:]:
        raise InputError(
            f"{data.name} has targets of {targets.shape[1]} numbers, but the model answers"
            f" {answers.shape[2]}"
        )
    return {
        "measured": {},
        "temperatures": np.ones(len(wanted.networks)),
        "offsets": np.empty(0),
        "quantiles": {},
        "by_class": None,
        "unknown": None,
        "intervals": fit.interval_quantiles(answers, targets),
    }


def _shifted(part: Dataset, session: Session) -> list[Dataset]:
    """Images changed in each way that there is; none where the model does not take images."""
    fields = session.metadata.get("preprocess")
    taken = preprocess_from(fields) if isinstance(fields, dict) else None
    if not part.pixels or not isinstance(taken, Preprocess):
        return []
    # The model's range of pixels, which may be less than the data's.
    return [shifted(replace(part, preprocess=taken), name) for name in SHIFTS]


def _batches(data: Dataset) -> int:
    return -(-len(data) // BATCH)
