"""Templates of the instructions in a bundle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from sbn_deploy import escape
from sbn_runtime import ModelError

_LANGUAGES = {
    "html": escape.html,
    "js": escape.javascript,
    "code": lambda name: escape.markdown_code(escape.name(name)),
    "markdown": escape.markdown,
    "python": escape.python,
}


def fill(template: str, values: dict[str, str], conditions: dict[str, bool]) -> str:
    """A template with its `{{names}}` replaced.

    `{{name|language}}` is the value as text of that language: one of a file's own names must
    be written so. The lines from `{{if CONDITION}}` to `{{end}}` stand only where it holds;
    `{{include FILE}}` is another template.
    """
    # In one pass: what a value holds is no template.
    return re.sub(
        r"\{\{(\w+)(?: *\| *(\w+))?\}\}",
        lambda match: _LANGUAGES.get(match[2], str)(values[match[1]]),
        _whole(template, conditions),
    )


def _whole(template: str, conditions: dict[str, bool]) -> str:
    """A template with those that it includes, without the lines that do not apply."""
    text = files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    text = re.sub(
        r"^\{\{if (\w+)\}\}\n(.*?)^\{\{end\}\}\n",
        lambda match: match[2] if conditions[match[1]] else "",
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
    return re.sub(
        r"^\{\{include (\S+)\}\}\n",
        lambda match: _whole(match[1], conditions),
        text,
        flags=re.MULTILINE,
    )


def check_name(path: Path) -> None:
    """Raises ModelError for a file that programs, commands or archives could not name.

    What a bundle has besides ends otherwise: no model takes its place.
    """
    if not re.fullmatch(r"\w[\w.+-]*\.onnx", path.name):
        raise ModelError(
            f"{path}: programs will name this file: rename it, to letters, digits, '.', '-',"
            " '+' and '_', of which the first is a letter, digit or '_', and '.onnx' at the end"
        )


def lines(names: Sequence[str]) -> bytes:
    """One line for each name, whatever it holds."""
    return "".join(f"{escape.visible(' '.join(name.split()))}\n" for name in names).encode()
