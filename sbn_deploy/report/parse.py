"""JSON to dataclasses, checked field by field."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sbn_runtime.errors import InputError

T = TypeVar("T")


def parse(kind: type[T], value: object, where: str) -> T:
    """A dataclass instance of a JSON object.

    Fields with a default may be missing, entries that the dataclass lacks are passed over.
    The types may be str, bool, int, float (finite), Any, None, unions of these, lists,
    tuples of any length, mappings with text keys, and such dataclasses.

    Args:
        where: what to call `value` in an error.

    Raises:
        InputError: an entry is missing or of another type.
    """
    result: T = _read(kind, value, where)
    return result


def _read(kind: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (choice for choice in inner if choice is not type(None))
        return _read(kind, value, where)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(_read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _read(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
        raise InputError(f"{where} is {value}, not a finite number; measure again")
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise InputError(f"{where} is not {_NAMES.get(origin or kind, kind)}; measure again")


def _record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is not an object; measure again")
    fields = {}
    for field, hint in _fields(kind):
        if field.name in value:
            fields[field.name] = _read(hint, value[field.name], f"{where}: {field.name}")
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where} lacks {field.name!r}; measure again")
    return kind(**fields)


@cache
def _fields(kind: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind)]


_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}
