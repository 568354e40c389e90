"""The forms of a checkpoint that was just trained, as calibrated files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sbn_deploy import data
from sbn_deploy.export import export_checkpoint
from sbn_deploy.materialize import Form, stochastic_signs
from sbn_deploy.nn.kinds import has_our_layers
from sbn_deploy.train import checkpoint as checkpoints
from sbn_runtime import ModelError, Session

from . import Calibrated, calibrate

SAMPLES = 8


def calibrated_forms(
    checkpoint: Path,
    spec: str,
    task: str,
    members: int,
    *,
    stored: bool = False,
    report: Callable[[str], None],
) -> list[Calibrated]:
    """Writes thresholded.onnx, members.onnx, noise.onnx and both.onnx beside a checkpoint.

    A network without binary layers has the first form only, one without noise the first two.
    Files of this checkpoint that have been calibrated stay, so the same call goes on where an
    earlier one was stopped.

    Args:
        checkpoint: of a training that held out the validation images.
        spec, task: of its data; "" for the task of its targets.
        members: of the forms with members.
        stored: whether the images are read from storage.
        report: told what is done.

    Raises what `export_checkpoint` and `calibrate` raise.
    """
    model, header = checkpoints.load(checkpoint)
    forms = {"thresholded": Form()}
    if has_our_layers(model):
        forms["members"] = Form(weights="sample", members=members)
        if stochastic_signs(model):
            forms["noise"] = Form(activations="stochastic", samples=SAMPLES)
            forms["both"] = replace(forms["noise"], weights="sample", members=members)
    load = data.load_stored if stored else data.load
    held_out = load(spec, "validation", data.ImageForm.of(header.preprocess))
    held_out = held_out.for_task(task) if task else held_out
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    found = []
    for name, form in forms.items():
        path = checkpoint.parent / f"{name}.onnx"
        if (finished := _finished(path, digest, held_out.name)) is not None:
            report(f"{path} is calibrated")
            found.append(finished)
            continue
        report(f"exporting and calibrating {path}")
        export_checkpoint(checkpoint, path, form)
        found.append(calibrate(path, held_out, "validation", trusted=stored))
    return found


def _finished(path: Path, digest: str, data: str) -> Calibrated | None:
    """What is in a file that was calibrated for this checkpoint."""
    if not path.exists():
        return None
    try:
        session = Session(path)
    except ModelError:  # something else of that name, or weights that were changed: replaced
        return None
    found = session.calibration
    if found is None or session.metadata.get("checkpoint_sha256") != digest:
        return None
    if (found.data, found.split) != (data, "validation"):
        return None
    return Calibrated(path, found, ())
