"""Writes docs/arm-cycles.md and docs/arm-cycles.json.

    python -m runtime.bench.arm BUILD_FOLDER -o docs/arm-cycles.md

Needs a C compiler, aarch64-linux-gnu-g++, qemu-aarch64 with plugins and a newer one with SME2
(tests/packaging/sme2.py), LLVM's tools 19 or newer, and Debian's packages for ARM within reach of
apt.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.packaging import arm

from . import loops, mca, native, networks, sme2
from .page import page
from .tools import run


def main() -> None:
    """Both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="CMake's folder of an aarch64 build")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if reason := arm.missing():
        sys.exit(reason)
    compiler = run("aarch64-linux-gnu-g++", "--version").splitlines()[0]
    figures = {
        "tools": f"{compiler}; llvm-mca {mca.version()}",
        "loops": loops.rows(options.build),
        "networks": networks.measure(options.build),
        "native": native.measure(options.build),
        "sme2": sme2.measure(options.build),
    }
    options.output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    options.output.write_text(page(figures))


if __name__ == "__main__":
    main()
