"""A model with programs in C and Python, for a Linux machine without anything of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from sbn_runtime import MissingDependencyError, ModelError, Session
from sbn_runtime.calibration import KEY
from sbn_runtime.engines import NATIVE
from sbn_runtime.modelfile import external_files
from sbn_runtime.tasks import CLASSIFICATION

from .facts import CALIBRATION, Facts, takes_numbers, takes_sounds
from .fill import lines
from .network import Network, instructions
from .readme import programs, readme
from .targets import OPERATORS, Target, built

CLASSES = "classes.txt"
HEADER = "sbn.h"


def folder(
    model: Path, session: Session, target: Target, libraries: Sequence[Path]
) -> dict[str, bytes]:
    """The files of a bundle for Linux, by name.

    The program in C is left out where the native runtime cannot run the model, and README.md
    says why.

    Raises:
        ModelError: programs could not call the model.
        MissingDependencyError: this installation lacks what the program in C is made of.
    """
    if takes_sounds(session):
        raise ModelError(
            f"{model}: takes sounds, which the programs of a bundle cannot read; install the wheel"
            " of sbn-deploy on the device and use sbn_runtime.Listener there"
        )
    lacks = _native_lacks(model)
    operators, runtime = libraries
    sources = built("c")
    header = sources / HEADER
    if not header.is_file():
        raise MissingDependencyError(
            f"{header}: missing, which programs in C are compiled with; reinstall sbn-deploy"
        )
    shared = _shared_name(runtime.name, header.read_text(encoding="utf-8"))
    written, classes, program = _instructions(model, session, target, shared, lacks)
    contents = {name: text.encode() for name, text in written.items()}
    if not lacks:
        contents[program] = (sources / program).read_bytes()
        contents[HEADER] = header.read_bytes()
        contents[shared] = runtime.read_bytes()
    if (said := session.metadata.get(KEY)) is not None:
        contents[CALIBRATION] = f"{json.dumps(said, indent=1)}\n".encode()
    if classes:
        contents[CLASSES] = lines(classes)
    contents[model.name] = model.read_bytes()
    contents |= {str(name): (model.parent / name).read_bytes() for name in external_files(model)}
    contents[OPERATORS] = operators.read_bytes()
    return contents


def _instructions(
    model: Path, session: Session, target: Target, library: str, lacks: str
) -> tuple[dict[str, str], Sequence[str], str]:
    """README.md and programs, the names of classes, and the name of the program in C."""
    if session.task != CLASSIFICATION or takes_numbers(session) or len(session.inputs) > 1:
        network = Network.of(model, session)
        return instructions(network, target, library, lacks), network.classes, "run.c"
    facts = Facts.read(model, session)
    written = {"README.md": readme(facts, target, library, lacks), **programs(facts, target)}
    return written, facts.classes, "classify.c"


def _native_lacks(model: Path) -> str:
    """Why the native runtime cannot run the model, on one line; "" where it can."""
    try:
        Session(model, engine=NATIVE, threads=1)
    except ModelError as error:
        return str(error).removeprefix(f"{model}: ")
    return ""


def _shared_name(library: str, header: str) -> str:
    """The name under which programs look for a library: that of its file with its ABI."""
    found = re.search(r"^#define SBN_ABI (\d+)$", header, re.MULTILINE)
    assert found is not None
    return f"{library}.{found[1]}"
