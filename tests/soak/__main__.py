"""Runs many cases of one format: python -m tests.soak FORMAT COUNT [FIRST]."""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections import Counter
from importlib import import_module
from pathlib import Path


def run(name: str, count: int, first: int = 0) -> Counter[str]:
    """How many cases were accepted and refused. Raises what a reader raised, with its seed."""
    check = import_module(f"tests.soak.{name}").check
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(first, first + count):
            place = Path(folder) / "case"
            place.mkdir()
            try:
                counts[check(seed, place)] += 1
            except BaseException as error:
                error.add_note(f"seed {seed} of tests.soak.{name}")
                raise
            shutil.rmtree(place)
    return counts


if __name__ == "__main__":
    print(sys.argv[1], dict(run(sys.argv[1], *map(int, sys.argv[2:]))))
