"""A classifier of images with a Swift package that runs it on iOS."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sbn_runtime import Session, __version__

from .facts import Facts
from .fill import fill, lines

FOLDER = "ios"
# Where the templates that are copied as they are lie in the bundle.
_COPIED = {"Package.swift": "Package.swift", "Model.swift": "Sources/Model.swift"}


def package(model: Path, session: Session, framework: Path) -> dict[str, bytes]:
    """The files of a bundle for iOS: the model, and a Swift package with the runtime in it.

    Args:
        session: of the model.
        framework: sbn_native.xcframework, a folder.

    Raises:
        ModelError: the model does something else than classify pictures, or the runtime lacks one
            of its operators.
    """
    facts = Facts.read_for_app(model, session, "the package for iOS", "docs/ios.md")
    values = {
        "version": __version__,
        "stem": model.stem,
        "file": facts.file,
        "height": str(facts.image.height),
        "width": str(facts.image.width),
        "class_count": str(len(facts.classes)),
        "samples": str(facts.samples),
    }
    conditions = {"noise": facts.samples > 0, "calibrated": facts.calibration is not None}
    contents = {"README.md": fill(f"{FOLDER}/README.md.in", values, conditions).encode()}
    templates = files(__package__).joinpath("templates", FOLDER)
    for template, name in _COPIED.items():
        contents[name] = templates.joinpath(template).read_bytes()
    contents[facts.file] = model.read_bytes()
    contents["classes.txt"] = lines(facts.classes)
    for path in sorted(framework.rglob("*")):
        if path.is_file():
            name = path.relative_to(framework.parent).as_posix()
            contents[name] = path.read_bytes()
    return contents
