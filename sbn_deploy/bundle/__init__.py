"""A model with everything that another machine needs to run it, in one zip file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sbn_runtime import ModelError, Session, __version__
from sbn_runtime.files import write_atomically

from .android import project
from .ios import package
from .linux import folder
from .targets import TARGETS, Target
from .web import page

__all__ = ["TARGETS", "BundleReport", "Target", "bundle_model"]

CHECKSUMS = "SHA256SUMS"
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
        model_bytes: size before compression.
        library_bytes: sizes of the installed files that a target needs.
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
    """Writes a zip file with the model, each target's libraries, instructions and checksums.

    For browsers these are a page with everything in it, and the runtime as a package; for Android
    a project that builds an app; for iOS a Swift package.

    It has a folder named as the model, and in it one for each target that is complete.

    Args:
        model: ONNX file written by `sbn export`.
        targets: of `TARGETS`.
        output: the zip file to write.

    Raises:
        ModelError: the model is missing, damaged, TFLite, has open sizes, or what a
            classifier says of its images and classes is missing or wrong, or the runtime of a
            browser or app lacks an operator of it.
        MissingDependencyError: this installation lacks the library of a target.
        OutputError: the zip file cannot be written.
    """
    libraries = {target.name: target.libraries() for target in targets}
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
        library_bytes={
            name: sum(library.stat().st_size for library in needed)
            for name, needed in libraries.items()
        },
        version=__version__,
    )


def _folder(model: Path, target: Target, libraries: Sequence[Path]) -> dict[str, bytes]:
    """All that a target needs, with checksums. Raises ModelError."""
    session = _session(model)
    match target.name:
        case "web":
            contents = page(model, session, libraries[0])
        case "android":
            contents = project(model, session, libraries[0])
        case "ios":
            contents = package(model, session, libraries[0].parents[1])
        case _:
            contents = folder(model, session, target, libraries)
    contents[CHECKSUMS] = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items()
    ).encode()
    return contents


def _session(model: Path) -> Session:
    """The model, if it is one that a bundle is for. Raises ModelError."""
    if _is_tflite(model):
        raise ModelError(
            f"{model}: is a TFLite file, which needs no bundle: it runs in an interpreter with"
            " Larq Compute Engine's operators; bundle the ONNX file of `sbn export`"
        )
    return Session(model, threads=1)


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
