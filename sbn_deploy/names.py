"""Names in recipes and on the command line: what they stand for, typing errors, old ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Generic, TypeVar

from sbn_runtime.errors import ConfigError

T = TypeVar("T")


class Registry(dict[str, T], Generic[T]):
    """Classes or functions by name, in order of registration.

    Args:
        kind: what they are, with its article, as in "a noise".
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, name: str, made: T) -> None:
        """Adds one. Raises ConfigError if another one has the name."""
        # Running a notebook cell again defines the same class again.
        if name in self and _place(self[name]) != _place(made):
            raise ConfigError(f"{self.kind} named {name!r} exists already; choose another name")
        self[name] = made

    def find(self, name: str) -> T:
        """The one of that name. Raises ConfigError if there is none."""
        if name not in self:
            kind = self.kind.partition(" ")[2]
            raise ConfigError(
                f"unknown {kind} {name!r}{suggest(name, self)}; choose one of {', '.join(self)}"
            )
        return self[name]


def _place(made: object) -> tuple[str, str]:
    return getattr(made, "__module__", ""), getattr(made, "__qualname__", "")


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The known name that looks like `name`, behind the prefix, as an ending of a message."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def now_called(old: str, new: str) -> str:
    """What to say of a setting or option that was given under its old name."""
    return f"{old} is now called {new}; the old name goes away in the next version"
