"""What a DLL for Windows says of itself: what it is for, what it needs and what it offers."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

X86_64, ARM64 = 0x8664, 0xAA64
# Of the header: code that may lie anywhere, in all of the address space, and data that never runs.
ANYWHERE, EVERYWHERE, NO_CODE_IN_DATA = 0x40, 0x20, 0x100

_RUNS, _WRITABLE = 0x20000000, 0x80000000


@dataclass
class Pe:
    """A DLL of 64 bits.

    Attributes:
        machine: of the header.
        system: the oldest version of Windows, as the header numbers it.
        flags: those above.
        imports: names of functions by the DLL that has them, which is in small letters.
        exports: names of functions.
        writable_code: sections that are both.
    """

    machine: int
    system: tuple[int, int]
    flags: int
    imports: dict[str, set[str]] = field(default_factory=dict)
    exports: set[str] = field(default_factory=set)
    writable_code: list[str] = field(default_factory=list)


def read(data: bytes) -> Pe:
    """Raises ValueError for anything but a DLL of 64 bits."""
    (header,) = struct.unpack_from("<I", data, 60)
    if data[:2] != b"MZ" or data[header : header + 4] != b"PE\0\0":
        raise ValueError("not a DLL")
    machine, count = struct.unpack_from("<2H", data, header + 4)
    (optional_size,) = struct.unpack_from("<H", data, header + 20)
    optional = header + 24
    if struct.unpack_from("<H", data, optional)[0] != 0x20B:
        raise ValueError("not a DLL of 64 bits")
    system = struct.unpack_from("<2H", data, optional + 48)
    found = Pe(machine, system, struct.unpack_from("<H", data, optional + 70)[0])
    sections = []
    for i in range(count):
        at = optional + optional_size + 40 * i
        size, address, _, begin = struct.unpack_from("<4I", data, at + 8)
        sections.append((address, size, begin))
        (access,) = struct.unpack_from("<I", data, at + 36)
        if access & _RUNS and access & _WRITABLE:
            found.writable_code.append(data[at : at + 8].rstrip(b"\0").decode())

    def place(address: int) -> int:
        """Where in the file an address of the loaded library lies."""
        (offset,) = (b + address - a for a, size, b in sections if a <= address < a + size)
        return offset

    def text(address: int) -> str:
        at = place(address)
        return data[at : data.index(0, at)].decode()

    exports, imports = (struct.unpack_from("<I", data, optional + 112 + 8 * i)[0] for i in (0, 1))
    if exports:
        at = place(exports)
        (named,) = struct.unpack_from("<I", data, at + 24)
        names = place(struct.unpack_from("<I", data, at + 32)[0])
        found.exports = {
            text(struct.unpack_from("<I", data, names + 4 * i)[0]) for i in range(named)
        }
    if imports:
        at = place(imports)
        while (lookup := struct.unpack_from("<I", data, at)[0]) != 0:
            library = text(struct.unpack_from("<I", data, at + 12)[0]).lower()
            functions = found.imports.setdefault(library, set())
            entry = place(lookup)
            while (hint := struct.unpack_from("<Q", data, entry)[0]) != 0:
                functions.add(text(hint + 2))
                entry += 8
            at += 20
    return found
