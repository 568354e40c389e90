"""A part of the fuzzing that each test run can afford; many more cases: see `tests.soak`."""

from __future__ import annotations

import pytest

from .__main__ import run

CASES = {"npz": 400, "images": 400, "parquet": 150, "safetensors": 150, "toml_json": 300}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_or_refused(name: str) -> None:
    counts = run(name, CASES[name])
    # A fuzzer that only makes rubbish tests little.
    assert counts["accepted"] > CASES[name] / 20
    assert counts["refused"] > CASES[name] / 20
