"""Settings from TOML files, with one clear line for what is wrong in them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sbn_runtime.errors import ConfigError


class Settings(BaseModel):
    """Named settings with their ranges.

    Raises ConfigError for an unknown setting or a value out of range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(_explain(error, type(self).model_fields)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file. Raises ConfigError if it cannot be read or is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def suggest(name: str, known: Iterable[str]) -> str:
    """The known name that looks like `name`, as an ending of a message."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(error: ValidationError, known: Iterable[str]) -> str:
    """The first problem in one sentence."""
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {name!r}{suggest(name, known) or '; known: ' + ', '.join(known)}"
    if problem["type"] == "missing":
        return f"setting {name!r} is missing"
    text = problem["msg"][0].lower() + problem["msg"][1:]
    return f"setting {name} is {problem['input']!r}: {text}"
