"""Damaged files by number, for everything that reads files: `python -m tests.soak --help`.

A module for each format offers `check(seed, folder)`: it makes the file of that number in the
folder, reads it as a user's command would, and returns "accepted" or "refused". It raises
AssertionError for a wrong answer and lets any other exception than `SbnError` through.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

FORMATS = {
    "onnx": "onnx_files",
}
"""The module of each format."""


def reader(name: str) -> Callable[[int, Path], str]:
    """`check` of a format."""
    check: Callable[[int, Path], str] = import_module(f".{FORMATS[name]}", __package__).check
    return check
