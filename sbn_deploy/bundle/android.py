"""A classifier of images as a project that builds an app for Android."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sbn_runtime import Session, __version__

from . import aar
from .facts import Facts
from .fill import fill

FOLDER = "android"
# Templates, of which others are copied as they are.
_FILLED = ".in"


def project(model: Path, session: Session, library: Path) -> dict[str, bytes]:
    """The files of a bundle for Android: a Gradle project with the model and the runtime in it.

    Args:
        session: of the model.
        library: sbn-runtime.zip.

    Raises:
        ModelError: the model does something else than classify pictures, or the runtime lacks one
            of its operators.
    """
    facts = Facts.read_for_app(model, session, "the app for Android", "docs/phones.md")
    image = facts.image
    values = {
        "version": __version__,
        "stem": model.stem,
        "file": facts.file,
        "height": str(image.height),
        "width": str(image.width),
        "class_count": str(len(facts.classes)),
        "samples": str(facts.samples),
    }
    conditions = {"noise": facts.samples > 0, "calibrated": facts.calibration is not None}
    contents = {}
    for name in _names(files(__package__).joinpath("templates", FOLDER), ""):
        template = f"{FOLDER}/{name}"
        if name.endswith(_FILLED):
            text = fill(template, values, conditions)
        else:
            text = files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
        contents[name.removesuffix(_FILLED)] = text.encode()
    contents[f"app/libs/{aar.NAME}"] = aar.archive(library)
    contents[f"app/src/main/assets/{facts.file}"] = model.read_bytes()
    return contents


def _names(folder: Traversable, before: str) -> list[str]:
    """The files in a folder and those in it, by their paths."""
    names = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = before + entry.name
        names += _names(entry, f"{path}/") if entry.is_dir() else [path]
    return names
