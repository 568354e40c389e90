"""Engine native against sbn on this machine: the table of docs/engines.md.

    python -m tests.tools.engines

Each row is one `sbn benchmark FILE --compare native --threads 1`, of an untrained network of the
registry or of a network of models/. Prints the table; latency does not depend on the weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sbn_deploy.engines.table import NATIVE, SBN
from sbn_deploy.nn import models
from sbn_deploy.records.benchmark import Benchmark, Timing
from sbn_deploy.records.files import load

from ..built import ROOT

TRAINED = ("cifar-m", "cifar-s", "spoken-digits", "spoken-digits-1d")
HEAD = """\
| network | sbn, ms | native, ms | native in times of sbn | loading, ms | memory, MB |
|---|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Measures all networks and prints the table."""
    parser = argparse.ArgumentParser(description="Engine native against sbn on this machine.")
    parser.add_argument("--max-seconds", default="15", help="for each network (default: 15)")
    options = parser.parse_args()
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for model in files(Path(folder)):
            output = model.with_suffix(".json")
            settings = ["--threads", "1", "--max-seconds", options.max_seconds, "-o", output]
            sbn("benchmark", model, "--compare", NATIVE, *settings)
            record = load(output)
            assert isinstance(record, Benchmark)
            print(row(record), flush=True)


def files(folder: Path) -> Iterator[Path]:
    """Writes the networks, one after the other."""
    for name in models.names():
        sbn("export", name, "--untrained", "-o", folder / f"{name}.onnx")
        yield folder / f"{name}.onnx"
    for name in TRAINED:
        checkpoint = ROOT / "models" / name / "checkpoint.safetensors"
        sbn("export", checkpoint, "-o", folder / f"{name}.onnx")
        yield folder / f"{name}.onnx"


def row(record: Benchmark) -> str:
    """A network: both engines, with the ratio's prediction interval."""
    ours = {timing.engine: timing for timing in record.results}
    (ratio,) = (ratio for ratio in record.ratios if ratio.engine == NATIVE)
    low, high = ratio.prediction_low or ratio.ratio, ratio.prediction_high or ratio.ratio
    cells = [
        record.models[0].name,
        *(f"{ours[engine].p50_ms:.4f}" for engine in (SBN, NATIVE)),
        f"{ratio.ratio:.2f} ({low:.2f} to {high:.2f})",
        " / ".join(f"{ours[engine].start_ms or 0:.1f}" for engine in (SBN, NATIVE)),
        " / ".join(megabytes(ours[engine]) for engine in (SBN, NATIVE)),
    ]
    return f"| {' | '.join(cells)} |"


def megabytes(timing: Timing) -> str:
    """By how much the process grew."""
    return "–" if timing.peak_bytes is None else f"{timing.peak_bytes / 1e6:.1f}"


def sbn(*words: object) -> None:
    """Runs a verb; its messages are shown."""
    arguments = list(map(str, words))
    command = [sys.executable, "-m", "sbn_deploy.cli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
