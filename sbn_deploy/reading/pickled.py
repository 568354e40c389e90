"""Dictionaries of arrays and lists in pickles, read without executing anything in them.

A pickle is a program. This follows the few instructions that build dictionaries, lists, numbers,
texts and NumPy arrays; a call of anything else is refused, and none is made.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.reading.parsing import parsing
from sbn_runtime.errors import ConfigError

LARGEST = 1 << 30
"""Bytes of a file: batches of CIFAR have 31 MB."""
MOST_PARTS = 1_000_000
"""Entries of lists and dictionaries: batches of CIFAR have 20,000."""
_RECONSTRUCT = frozenset(f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core"))
_TEXTS = frozenset({"BINSTRING", "SHORT_BINSTRING", "STRING"})
_VALUES = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BININT"}
    | {"BININT1", "BININT2", "INT", "LONG1", "LONG", "BINFLOAT", "FLOAT"}
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MADE: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a file, its keys as text; arrays are NumPy arrays of numbers.

    Raises:
        ConfigError: it cannot be read, or holds anything else.
    """
    remedy = "download it again"
    with parsing(ConfigError, path, "is not a pickled batch of images", remedy):
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        found = _plain(_Machine().run(path.read_bytes()))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, not a dictionary")
    return {str(_text(key)): value for key, value in found.items()}


@dataclass
class _Called:
    """What a call would make, were it made: of an array, its state follows."""

    name: str
    arguments: Any
    state: Any = None


class _Mark:
    """Where a list of arguments begins."""


@dataclass
class _Machine:
    """The stack and the memo of a pickle."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, content: bytes) -> Any:
        for operation, argument, position in pickletools.genops(content):
            if operation.name == "STOP":
                return self.stack.pop()
            self._step(operation.name, argument, position)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any, position: int | None) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _TEXTS:
            # Of Python 2, where text was bytes; pickletools gives them as latin-1.
            stack.append(argument if isinstance(argument, bytes) else argument.encode("latin-1"))
        elif name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name == "MARK":
            stack.append(_Mark)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(_Called(argument, None))
        elif name == "STACK_GLOBAL":
            member, module = stack.pop(), stack.pop()
            stack.append(_Called(f"{module} {member}", None))
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in _TUPLES:
            count = _TUPLES[name]
            last = tuple(stack[-count:])
            del stack[-count:]
            stack.append(last)
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_Called(function.name, arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name in ("APPENDS", "APPEND"):
            items = self._marked() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif name in ("SETITEMS", "SETITEM"):
            items = self._marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update((_text(k), v) for k, v in zip(items[::2], items[1::2], strict=True))
        else:
            raise ValueError(f"it has the instruction {name} at byte {position}")

    def _marked(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_Mark)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items


def _plain(value: Any, left: Iterator[int] | None = None) -> Any:
    """The value with arrays in place of the calls that would make them.

    left: ends after as many parts as there may be: what is written once may be meant often.
    """
    left = left or iter(range(MOST_PARTS))
    if next(left, None) is None:
        raise ValueError(f"it has more than {MOST_PARTS:,} parts")
    if isinstance(value, dict):
        return {key: _plain(inner, left) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_plain(inner, left) for inner in value])
    return _made(value) if isinstance(value, _Called) else value


def _made(call: _Called) -> Any:
    if call.name == "_codecs encode":  # how Python 3 writes bytes for Python 2
        text, encoding = call.arguments
        if encoding != "latin1":
            raise ValueError(f"it has text in {encoding}")
        return text.encode("latin-1")
    if call.name not in _RECONSTRUCT or call.state is None:
        raise ValueError(f"it would call {call.name}, which is not allowed")
    _, shape, dtype, in_fortran_order, content = call.state
    name = _text(_plain(dtype.arguments[0])) if dtype.name == "numpy dtype" else dtype.name
    if name[1:].isdigit() is False or name[0] not in "uif":
        raise ValueError(f"it has an array of {name}, not of numbers")
    array = np.frombuffer(_plain(content), np.dtype(name))
    return array.reshape(shape, order="F" if in_fortran_order else "C")


def _text(value: Any) -> str:
    value = _plain(value)
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
