"""Small files of every kind of network, to be damaged: `python -m tests.native.files FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sbn_deploy.nn import models
from sbn_deploy.untrained import export_untrained

from ..built import ROOT
from .networks import FORMS, SMALLER
from .onnx_cases import EXACT, NEAR


def write_cases(folder: Path) -> None:
    """A file for each operator of ONNX."""
    for index, proto in enumerate((EXACT | NEAR).values()):
        (folder / f"operator-{index}.onnx").write_bytes(proto.SerializeToString())


def main(folder: Path) -> None:
    """Writes those, the golden files, and the networks of the registry in all forms."""
    folder.mkdir(parents=True, exist_ok=True)
    write_cases(folder)
    for path in (ROOT / "tests/golden").glob("*.onnx"):
        shutil.copy(path, folder)
    for arch in models.names():
        for form, how in FORMS.items():
            export_untrained(arch, folder / f"{arch}-{form}.onnx", how, **SMALLER.get(arch, {}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
