"""JSON and TOML from untrusted files, and text that can always be written."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sbn_deploy.reading.parsing import parsing
from sbn_runtime.errors import ConfigError, InputError, SbnError

DEEPEST = 64
"""Tables and lists within each other: what copies, shows or writes them may recurse."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(
    text: str | bytes, where: str | Path, error: type[SbnError] = InputError, remedy: str = ""
) -> Any:
    """What JSON text holds. Raises `error`, which calls the text `where`."""
    with parsing(error, where, "is not valid JSON", remedy):
        value = json.loads(text)
        _check(value)
    return value


def parse_toml(text: str, where: str | Path) -> dict[str, Any]:
    """What TOML text holds. Raises ConfigError, which calls the text `where`."""
    with parsing(ConfigError, where, "is not valid TOML"):
        value = tomllib.loads(text)
        _check(value)
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises ConfigError if it cannot be read or is not valid."""
    with parsing(ConfigError, path, "is not valid TOML"):
        text = path.read_text(encoding="utf-8")
    return parse_toml(text, path)


def readable(text: str) -> str:
    """The text with U+FFFD in place of bytes that were no UTF-8, such as in names of files.

    It can be written in any file and shown in any terminal.
    """
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def readable_names(names: Iterable[object]) -> tuple[str, ...]:
    """Names of classes as `readable` text; where that made two the same, the later has a number."""
    found: dict[str, None] = {}
    result = []
    for name in map(str, names):
        shown = base = readable(name)
        count = 1
        while base != name and shown in found:
            count += 1
            shown = f"{base} ({count})"
        found[shown] = None
        result.append(shown)
    return tuple(result)


def _check(value: Any) -> None:
    """Raises ValueError or RecursionError for what later code cannot be expected to take."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
        if any(isinstance(inner, int) and abs(inner) >= 2**64 for inner in level):
            raise ValueError("it holds a number of more than 64 bits")
    raise RecursionError
