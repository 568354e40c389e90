"""Settings from TOML files, with one clear line for what is wrong in them."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sbn_deploy.names import now_called, suggest
from sbn_runtime.errors import ConfigError


class RenamedWarning(FutureWarning):
    """A setting was given under its old name, which goes away in the next version."""


class Settings(BaseModel):
    """Named settings with their ranges. `renamed` has the new names of old ones.

    Raises ConfigError for an unknown setting or a value out of range, and for a setting that
    is given under its old and new name. Warns with RenamedWarning of an old name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    renamed: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **settings: Any) -> None:
        for old in settings.keys() & self.renamed.keys():
            new = self.renamed[old]
            if new in settings:
                raise ConfigError(f"{old} is the old name of {new}; leave it out")
            warnings.warn(now_called(old, new), RenamedWarning, stacklevel=2)
            settings[new] = settings.pop(old)
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(_explain(error, type(self).model_fields)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file. Raises ConfigError if it cannot be read or is not valid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


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
