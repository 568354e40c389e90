"""Whether the installed native library is that of this tree."""

from __future__ import annotations

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / "runtime"


def stale_library() -> str:
    """Why tests would run an old library, and the remedy; empty where they would not.

    Only the library of an editable installation of this tree can be an old one. Beside it
    the build has left `libsbn.sha256`, a line `SHA-256  file` for each source.
    """
    spec = find_spec("sbn_runtime")
    if spec is None or not Path(str(spec.origin)).is_relative_to(RUNTIME):
        return ""
    found = [Path(folder, "libsbn.sha256") for folder in spec.submodule_search_locations or ()]
    digests = next((path for path in found if path.is_file()), None)
    if digests is None:
        why = "of unknown sources"
    elif changed := changed_sources(RUNTIME, digests):
        why = f"not of this tree's {', '.join(changed[:3])}{', …' if changed[3:] else ''}"
    else:
        return ""
    return f"libsbn.so is {why}. Type: {sys.executable} -m pip install --no-deps -e {ROOT}"


def changed_sources(runtime: Path, digests: Path) -> list[str]:
    """The sources, relative to `runtime`, that are not as they were in the build."""
    changed = []
    for line in digests.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        source = runtime / name
        if not source.is_file() or hashlib.sha256(source.read_bytes()).hexdigest() != digest:
            changed.append(name)
    return changed
