"""A model with everything that another machine needs to run it, in one zip file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sbn_deploy import escape
from sbn_runtime import ModelError, SbnError, Session, __version__
from sbn_runtime.calibration import KEY
from sbn_runtime.files import write_atomically
from sbn_runtime.modelfile import external_files
from sbn_runtime.tasks import CLASSIFICATION

from .network import Network, instructions
from .readme import CALIBRATION, Facts, programs, readme
from .targets import TARGETS, Target
from .web import page

__all__ = ["TARGETS", "BundleReport", "Target", "bundle_model"]

CHECKSUMS = "SHA256SUMS"
CLASSES = "classes.txt"
LIBRARY = "libsbn.so"
# The same input gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True)
class BundleReport:
    """What `bundle_model` wrote.

    Attributes:
        path, file_bytes: the zip file.
        targets: platforms.
        files: the names in it.
        model_bytes, library_bytes: sizes before compression, those of libraries by target.
        version: of sbn-deploy, and so of the libraries.
    """

    path: Path
    file_bytes: int
    targets: tuple[str, ...]
    files: tuple[str, ...]
    model_bytes: int
    library_bytes: dict[str, int]
    version: str


def bundle_model(model: Path, targets: Sequence[Target], output: Path) -> BundleReport:
    """Writes a zip file with the model, each target's library, instructions and checksums.

    For browsers these are a page with everything in it, and the runtime as a package.

    It has a folder named as the model, and in it one for each target that is complete.

    Args:
        model: ONNX file written by `sbn export`.
        targets: of `TARGETS`.
        output: the zip file to write.

    Raises:
        ModelError: the model is missing, damaged, TFLite, has open sizes, or what a
            classifier says of its images and classes is missing or wrong.
        MissingDependencyError: this installation lacks the library of a target.
        OutputError: the zip file cannot be written.
    """
    libraries = {target.name: target.library() for target in targets}
    contents = {
        f"{model.stem}/{target.name}/{name}": data
        for target in targets
        for name, data in _folder(model, target, libraries[target.name]).items()
    }
    packed = _zip(contents)
    write_atomically(output, packed)
    return BundleReport(
        path=output,
        file_bytes=len(packed),
        targets=tuple(libraries),
        files=tuple(contents),
        model_bytes=model.stat().st_size,
        library_bytes={name: library.stat().st_size for name, library in libraries.items()},
        version=__version__,
    )


def _folder(model: Path, target: Target, library: Path) -> dict[str, bytes]:
    """All that a target needs, with checksums. Raises ModelError."""
    if target.web:
        session = _session(model)
        if session.task != CLASSIFICATION or len(session.inputs) > 1:
            raise ModelError(
                f"{model}: its task is {session.task}, with {len(session.inputs)} inputs, and the"
                " page for browsers shows classifiers of one image; docs/web.md has what pages of"
                " your own can call for others"
            )
        contents = page(read_facts(model, session), model, library)
    else:
        contents = {
            **_instructions(model, target),
            target.model_folder + model.name: model.read_bytes(),
            **_external(model, target),
            target.library_folder + LIBRARY: library.read_bytes(),
        }
    contents[CHECKSUMS] = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items()
    ).encode()
    return contents


def _instructions(model: Path, target: Target) -> dict[str, bytes]:
    """README.md, programs, and the names of classes where they read them. Raises ModelError."""
    session = _session(model)
    takes_numbers = "shape" in (session.metadata.get("preprocess") or {})
    if session.task != CLASSIFICATION or takes_numbers or len(session.inputs) > 1:
        network = Network.of(model, session)
        return {
            **{name: text.encode() for name, text in instructions(network, target).items()},
            **_calibration(session, target),
            **({target.model_folder + CLASSES: _lines(network.classes)} if network.classes else {}),
        }
    facts = read_facts(model, session)
    return {
        "README.md": readme(facts, target).encode(),
        **{name: text.encode() for name, text in programs(facts, target).items()},
        **_calibration(session, target),
        target.model_folder + CLASSES: _lines(facts.classes),
    }


def _session(model: Path) -> Session:
    """The model, if it is one that a bundle is for. Raises ModelError."""
    if _is_tflite(model):
        raise ModelError(
            f"{model}: is a TFLite file, which needs no bundle: it runs in an interpreter with"
            " Larq Compute Engine's operators; bundle the ONNX file of `sbn export`"
        )
    session = Session(model, threads=1)
    if "sound" in (session.metadata.get("preprocess") or {}):
        raise ModelError(
            f"{model}: takes sounds, which the programs of a bundle cannot read; install the wheel"
            " of sbn-deploy on the device and use sbn_runtime.Listener there"
        )
    return session


def _calibration(session: Session, target: Target) -> dict[str, bytes]:
    """The calibration of a calibrated model, where programs read it."""
    said = session.metadata.get(KEY)
    if said is None:
        return {}
    return {target.model_folder + CALIBRATION: f"{json.dumps(said, indent=1)}\n".encode()}


def _external(model: Path, target: Target) -> dict[str, bytes]:
    """The files beside the model that hold its constants. Raises ModelError."""
    return {
        f"{target.model_folder}{name}": (model.parent / name).read_bytes()
        for name in external_files(model)
    }


def _lines(names: Sequence[str]) -> bytes:
    """One line for each name, whatever it holds."""
    return "".join(f"{escape.visible(' '.join(name.split()))}\n" for name in names).encode()


def read_facts(model: Path, session: Session) -> Facts:
    """What a program must know of a classifier of images to call it. Raises ModelError."""
    facts = Facts.of(model, session)
    image = facts.image
    black = np.zeros((1, image.height, image.width, image.channels), np.uint8)
    try:
        (probabilities,) = session.predict_proba(session.preprocess(black))
    except SbnError as error:
        raise ModelError(f"{model}: does not run on the images it describes: {error}") from error
    if len(probabilities) != len(facts.classes):
        raise ModelError(
            f"{model}: names {len(facts.classes)} classes but has {len(probabilities)};"
            " export the model again"
        )
    return facts


def _is_tflite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8)[4:] == b"TFL3"


def _zip(contents: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in contents.items():
            assert not {"", ".", ".."} & {*name.split("/")}, name
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # Python says otherwise on Windows, whose files have no such permissions.
            entry.create_system = _UNIX
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return packed.getvalue()
