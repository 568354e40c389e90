"""Templates of the instructions in a bundle."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from sbn_runtime import ModelError


def fill(template: str, values: dict[str, str], conditions: dict[str, bool]) -> str:
    """A template with its `{{names}}` replaced.

    The lines from `{{if CONDITION}}` to `{{end}}` stand only where it holds;
    `{{include FILE}}` is another template.
    """
    text = files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    text = re.sub(
        r"^\{\{if (\w+)\}\}\n(.*?)^\{\{end\}\}\n",
        lambda match: match[2] if conditions[match[1]] else "",
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
    text = re.sub(
        r"^\{\{include (\S+)\}\}\n",
        lambda match: fill(match[1], values, conditions),
        text,
        flags=re.MULTILINE,
    )
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], text)


def check_name(path: Path) -> None:
    """Raises ModelError for a file that programs could not name."""
    if not re.fullmatch(r"[\w.+-]+", path.name):
        raise ModelError(
            f"{path}: programs will name this file: rename it, to letters, digits, '.', '-',"
            " '+' and '_'"
        )
