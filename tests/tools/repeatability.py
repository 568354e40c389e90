"""Do the intervals of `sbn benchmark` hold?

    python -m tests.tools.repeatability MODEL

Runs the command in pairs, and counts in how many pairs every ratio and every median of each run
lies in the interval of the other. It should be at least nine of ten. All runs are then compared
with all others, too: some lie minutes apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from sbn_deploy.records.benchmark import Benchmark, Ratio, Timing
from sbn_deploy.records.files import parse

WANTED = 0.9
KEY = ("model", "engine", "threads", "batch")

Figure = tuple[float, float, float]
"""A figure with its prediction interval."""


def figures(record: Benchmark) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Ratios, and medians in milliseconds, of a benchmark by what they are of."""
    ratios = {
        _name(entry): (entry.ratio, entry.prediction_low or 0, entry.prediction_high or 0)
        for entry in record.ratios
    }
    medians = {
        _name(entry): (entry.p50_ms, entry.prediction_low_ms or 0, entry.prediction_high_ms or 0)
        for entry in record.results
    }
    return ratios, medians


def agree(one: Mapping[str, Figure], other: Mapping[str, Figure]) -> bool:
    """Whether each figure lies in the other's interval, for all figures."""
    return all(
        low <= theirs <= high and other[name][1] <= value <= other[name][2]
        for name, (value, low, high) in one.items()
        for theirs in [other[name][0]]
    )


def main() -> int:
    """Measures, and returns 0 if the intervals of the ratios hold."""
    parser = argparse.ArgumentParser(
        description="Runs `sbn benchmark` in pairs and counts how often the two runs lie in each"
        " other's intervals. Other options are given to `sbn benchmark`.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument("--compare", default="fp32", metavar="LIST", help="(default: fp32)")
    parser.add_argument("--pairs", type=int, default=10, metavar="N", help="(default: 10)")
    options, more = parser.parse_known_args()
    arguments = [str(options.model), "--compare", options.compare, *more]
    ratios, medians = [], []
    for index, record in enumerate(_runs(arguments, 2 * options.pairs)):
        found = figures(record)
        ratios.append(found[0])
        medians.append(found[1])
        print(f"run {index + 1}: {_text(found[0])}", flush=True)
        for reason in record.unstable:
            print(f"    unstable: {reason}", flush=True)
    held = {}
    for name, values in (("ratios", ratios), ("medians", medians)):
        pairs = [agree(*values[start : start + 2]) for start in range(0, len(values), 2)]
        every = [agree(*pair) for pair in combinations(values, 2)]
        print(
            f"{name} in each other's intervals: {sum(pairs)} of {len(pairs)} pairs;"
            f" {sum(every)} of {len(every)} when all runs are compared with one another"
        )
        held[name] = sum(pairs) / len(pairs)
    return 0 if held["ratios"] >= WANTED else 1


def _runs(arguments: Sequence[str], count: int) -> Iterator[Benchmark]:
    command = [sys.executable, "-m", "sbn_deploy.cli", "benchmark", *arguments, "--json"]
    for _ in range(count):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        yield parse(Benchmark, json.loads(done.stdout), "what sbn benchmark wrote")


def _name(entry: Ratio | Timing) -> str:
    return " ".join(str(getattr(entry, field)) for field in KEY)


def _text(ratios: Mapping[str, Figure]) -> str:
    return "; ".join(
        f"{name} {value:.3f} ({low:.3f} to {high:.3f})"
        for name, (value, low, high) in ratios.items()
    )


if __name__ == "__main__":
    sys.exit(main())
