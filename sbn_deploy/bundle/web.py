"""A classifier of images or of sounds as a page that runs it in the browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from sbn_runtime import Session, __version__

from .facts import Facts
from .fill import fill

# The modules of the package in the order in which they stand in the page.
_MODULES = ("error.js", "answer.js", "picture.js", "sound.js", "listen.js", "sbn.js")
_README, _PACKAGE = "README.md", "package.json"
# In a single module nothing is imported, and nothing needs to be exported.
_IMPORT = re.compile(r"^(?:import|export \{) .*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def page(model: Path, session: Session, library: Path) -> dict[str, bytes]:
    """The files of a bundle for browsers: a page that needs no other, and a package for others.

    Args:
        session: of the model.
        library: sbn.wasm, beside the files of its package.

    Raises:
        ModelError: the model does something else than classify pictures or sounds, or the runtime
            lacks one of its operators.
    """
    facts = Facts.read_for_app(model, session, "the page for browsers", "docs/web.md", sounds=True)
    sounds = facts.image.sound is not None
    package = {path.name: path.read_bytes() for path in sorted(library.parent.iterdir())}
    runtime = "".join(_bare(package[name].decode()) for name in _MODULES)
    values = {
        "version": __version__,
        "stem": model.stem,
        "file": model.name,
        "height": str(facts.image.height),
        "width": str(facts.image.width),
        "options": ", { samples: 8 }" if facts.samples else "",
        # What reads the microphone is a script of its own.
        "scripts": " data:" if sounds else "",
        "runtime": runtime,
        "wasm": _base64(package[library.name]),
        "model": _base64(model.read_bytes()),
    }
    conditions = {
        "pictures": not sounds,
        "sounds": sounds,
        "grey": not sounds and facts.image.channels == 1,
        "colour": not sounds and facts.image.channels == 3,
        "noise": facts.samples > 0,
    }
    version = f'"version": "{__version__}"'.encode()
    package[_PACKAGE] = package[_PACKAGE].replace(b'"version": "0.0.0"', version)
    package["PACKAGE.md"] = package.pop(_README)
    return {
        _README: fill("web/README.md", values, conditions).encode(),
        "index.html": fill("web/index.html.in", values, conditions).encode(),
        model.name: model.read_bytes(),
        **package,
    }


def _bare(module: str) -> str:
    return _EXPORT.sub("", _IMPORT.sub("", module))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
