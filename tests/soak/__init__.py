"""Damaged files by number, for everything that reads files: `python -m tests.soak --help`.

A module for each format offers `check(seed, folder)`: it makes the file of that number in the
empty folder, mutated as the seed says, and gives it to every reader of the format. It returns
"accepted" or "refused"; it raises AssertionError for a wrong answer, and lets through whatever
else than an `SbnError` of one line comes out of a reader.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

FORMATS = {
    "onnx": "onnx_files",
    "images": "images",
    "npz": "npz",
    "parquet": "parquet",
    "pickled": "pickled",
    "safetensors": "safetensors",
    "calibration": "calibration",
    "tflite": "tflite",
    "toml-json": "toml_json",
    "loads": "loads",
    "verbs": "verbs",
}
"""The module of each format; `loads` are sessions in use, `verbs` commands that are disturbed."""


def reader(name: str) -> Callable[[int, Path], str]:
    """`check` of a format."""
    check: Callable[[int, Path], str] = import_module(f".{FORMATS[name]}", __package__).check
    return check
