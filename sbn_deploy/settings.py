"""Settings with their ranges, and one clear line for what is wrong in them."""

from __future__ import annotations

import re
import reprlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from sbn_deploy.names import now_called, suggest
from sbn_runtime.errors import ConfigError

LARGEST = 2**53
"""Integers up to here are numbers of any kind, exactly."""


class RenamedWarning(FutureWarning):
    """A setting was given under its old name, which goes away in the next version."""


class Settings(BaseModel):
    """Named settings with their ranges. `renamed` has the new names of old ones.

    Texts and paths hold no NUL, integers are at most `LARGEST`.

    Raises ConfigError for an unknown setting or a value out of range, and for a setting that
    is given under its old and new name. Warns with RenamedWarning of an old name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    renamed: ClassVar[Mapping[str, str]] = {}

    @field_validator("*")
    @classmethod
    def _usable(cls, value: Any) -> Any:
        """Refuses what no file can be called, and integers beyond any use."""
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, str | Path) and "\0" in str(one):
                raise ValueError("it holds a NUL character")
            if isinstance(one, int) and abs(one) > LARGEST:
                raise ValueError(f"it is beyond {LARGEST:,}")
        return value

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


def _explain(error: ValidationError, known: Iterable[str]) -> str:
    """The first problem in one sentence."""
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {name!r}{suggest(name, known) or '; known: ' + ', '.join(known)}"
    if problem["type"] == "missing":
        return f"setting {name!r} is missing"
    if problem["type"] == "literal_error":
        choices = re.findall("'([^']*)'", problem["msg"])
        return (
            f"setting {name} is {problem['input']!r}{suggest(str(problem['input']), choices)};"
            f" choose one of {', '.join(choices)}"
        )
    text = problem["msg"].removeprefix("Value error, ")
    return f"setting {name} is {reprlib.repr(problem['input'])}: {text[:1].lower()}{text[1:]}"
