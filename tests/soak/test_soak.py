"""A part of the fuzzing that each test run can afford; `make soak` tries many more."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from . import loads, reader

CASES = {
    "calibration": 80,
    "images": 400,
    "npz": 400,
    "onnx": 100,
    "parquet": 150,
    "pickled": 300,
    "safetensors": 150,
    "tflite": 500,
    "toml-json": 300,
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(CASES[name]):
        case = tmp_path / str(seed)
        case.mkdir()
        counts[reader(name)(seed, case)] += 1
        shutil.rmtree(case)
    # A fuzzer that only makes rubbish tests little.
    assert counts["accepted"] > CASES[name] / 20
    assert counts["refused"] > CASES[name] / 20


@pytest.mark.parametrize("way", dict.fromkeys(loads.WAYS), ids=lambda way: way.__name__)
def test_sessions_under_load_answer_as_ever(way: Callable[[random.Random, Path], None]) -> None:
    way(random.Random(1), loads.files()[0])
