"""Reading a flatbuffer that nobody vouches for.

Everything that is read is first checked to lie inside the file, and everything
that is built is charged against a budget that grows with the file, so that a
file that refers to the same bytes over and over costs no more than an honest one.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, unpack_from
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError

from .schema import Kind, Table

_VTABLE = Struct("<HH")
_U32 = Struct("<I")
_I32 = Struct("<i")
_SCALARS = {kind: Struct("<" + kind.value) for kind in Kind if kind.is_scalar}

# Bytes of memory that may be used for each byte of the file, and for any file.
_PER_BYTE = 10
_FOR_ANY_FILE = 1 << 20
# A table takes no memory once it is read; this bounds how often one may be read.
_TABLE_COST = 40
# More than any table of TFLite has.
_MOST_FIELDS = 64


class File:
    """Bytes of a flatbuffer file.

    data: all of the file. name: what messages call it.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data = memoryview(data).toreadonly()
        self.size = len(data)
        self.name = name
        self._budget = _PER_BYTE * len(data) + _FOR_ANY_FILE

    def fail(self, where: str, what: str) -> NoReturn:
        """Raises:
        ModelError: always.
        """
        raise ModelError(f"{self.name}: {where}: {what}")

    def charge(self, memory: int, where: str) -> None:
        """Account for bytes of memory that are about to be used."""
        self._budget -= memory
        if self._budget < 0:
            self.fail(where, "the file describes more than its size has room for; it is damaged")

    def span(self, at: int, size: int, where: str) -> int:
        """`at`, once the bytes from there on are known to be in the file."""
        if at < 0 or size > self.size - at:
            self.fail(
                where,
                f"{size} bytes at byte {at} end after the file's {self.size}; "
                "the file is truncated or damaged",
            )
        return at

    def follow(self, at: int, where: str) -> int:
        """Where an offset that stands at `at` points to."""
        offset = int(_U32.unpack_from(self.data, self.span(at, 4, where))[0])
        if offset < 4:
            self.fail(where, f"the offset {offset} at byte {at} points at itself")
        return self.span(at + offset, 4, where)

    def vector(self, at: int, width: int, where: str) -> tuple[int, int]:
        """First byte and length of a vector whose length stands at `at`."""
        length = int(_U32.unpack_from(self.data, self.span(at, 4, where))[0])
        return self.span(at + 4, length * width, where), length

    def root(self, table: Table) -> TableView:
        """The table that the file's first offset points to."""
        return TableView(self, table, self.follow(0, "root"), "root")


class TableView:
    """A table whose vtable has been checked: every field it has lies inside it.

    file, table: where it is, what it is. at: its first byte. where: names it in messages.
    """

    def __init__(self, file: File, table: Table, at: int, where: str) -> None:
        self.file, self.table, self.at, self.where = file, table, at, where
        file.charge(_TABLE_COST, where)
        data = file.data
        file.span(at, 4, where)
        vtable = at - int(_I32.unpack_from(data, at)[0])
        file.span(vtable, 4, f"{where}, vtable")
        vtable_size, size = _VTABLE.unpack_from(data, vtable)
        slots, odd = divmod(vtable_size - 4, 2)
        if odd or not 0 <= slots <= _MOST_FIELDS:
            self.fail(
                f"its vtable at byte {vtable} is {vtable_size} bytes long, and has to be "
                f"4 to {4 + 2 * _MOST_FIELDS}, and even"
            )
        if size < 4:
            self.fail(f"its vtable at byte {vtable} says that it is {size} bytes long, too short")
        file.span(vtable, vtable_size, f"{where}, vtable")
        file.span(at, size, where)
        # Where each field that is there stands.
        self._at: dict[str, int] = {}
        for number, offset in enumerate(unpack_from(f"<{slots}H", data, vtable + 4)):
            if not offset:
                continue
            field = table.by_id.get(number)
            if field is None:
                # It is no default, and could mean anything.
                self.fail(f"field {number} is unknown here: a newer TFLite may have written it")
            if offset < 4 or offset + field.kind.inline_width > size:
                self.fail(f"{field.name} at {offset} of its {size} bytes lies outside")
            self._at[field.name] = at + offset

    def fail(self, what: str) -> NoReturn:
        """Raises:
        ModelError: always, naming this table.
        """
        self.file.fail(f"{self.where} ({self.table.name} at byte {self.at})", what)

    def has(self, name: str) -> bool:
        """Whether the table has the field."""
        return name in self._at

    def number(self, name: str) -> int | float | bool:
        """A scalar, or its default."""
        field = self.table.by_name[name]
        at = self._at.get(name)
        if at is None:
            return field.default
        if field.kind is Kind.BOOL and self.file.data[at] > 1:
            self.fail(f"{name} is {self.file.data[at]}, and has to be 0 or 1")
        value: int | float | bool = _SCALARS[field.kind].unpack_from(self.file.data, at)[0]
        return value

    def integer(self, name: str) -> int:
        """A scalar that is a whole number."""
        return int(self.number(name))

    def child(self, name: str, table: Table) -> TableView | None:
        """The table that a field points to."""
        at = self._at.get(name)
        if at is None:
            return None
        where = f"{self.where}, {name}"
        return TableView(self.file, table, self.file.follow(at, where), where)

    def children(self, name: str, table: Table) -> Iterator[TableView]:
        """The tables of a vector, one after the other."""
        start, length = self.vector(name)
        for index in range(length):
            where = f"{name.removesuffix('s').replace('_', ' ')} {index}"
            yield TableView(self.file, table, self.file.follow(start + 4 * index, where), where)

    def length(self, name: str) -> int:
        """The number of a vector's elements; 0 if there is no vector."""
        return self.vector(name)[1]

    def integers(self, name: str) -> NDArray[np.int32]:
        """A vector of int32, as a view of the file; empty if there is none."""
        start, length = self.vector(name)
        return np.frombuffer(self.file.data, "<i4", length, start if length else 0)

    def bytes(self, name: str) -> memoryview:
        """A vector of bytes, as a view of the file; empty if there is none."""
        start, length = self.vector(name)
        return self.file.data[start : start + length]

    def string(self, name: str) -> str:
        """A string; empty if there is none."""
        raw = self.bytes(name)
        self.file.charge(50 + 4 * len(raw), self.where)
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            self.fail(f"{name} is not UTF-8")

    def vector(self, name: str) -> tuple[int, int]:
        """First byte and length of a vector; zeros if there is none."""
        at = self._at.get(name)
        if at is None:
            return 0, 0
        where = f"{self.where}, {name}"
        width = self.table.by_name[name].kind.element_width
        return self.file.vector(self.file.follow(at, where), width, where)
