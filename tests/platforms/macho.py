"""What a Mach-O file says of itself: what it is for, what it needs, whether its signature holds."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ARM64, X86_64 = 0x0100000C, 0x01000007
OBJECT, DYLIB = 1, 6
MACOS, IOS, SIMULATOR = 1, 2, 7

_MAGIC = 0xFEEDFACF
_SYMBOLS, _SEGMENT, _LOAD, _NAME = 0x2, 0x19, 0xC, 0xD
_SIGNATURE, _BUILD = 0x1D, 0x32
_CODE_DIRECTORY, _SIGNATURE_MAGIC = 0xFADE0C02, 0xFADE0CC0
_EXTERNAL, _PRIVATE, _KIND, _DEFINED = 0x01, 0x10, 0x0E, 0x0E


@dataclass
class MachO:
    """A file of 64 bits.

    Attributes:
        processor, kind: as the header has them.
        platform, minimum: the system it is for and its oldest version.
        name: what programs that link with a library look for.
        libraries: what it needs.
        defined, hidden, undefined: external names, without the underscore in front; hidden are
            those that a library keeps to itself.
        writable_code: segments that are both.
        signed, wrong: pages of the signature, and those that are others than it says.
    """

    processor: int
    kind: int
    platform: int = 0
    minimum: tuple[int, int] = (0, 0)
    name: str = ""
    libraries: list[str] = field(default_factory=list)
    defined: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    undefined: set[str] = field(default_factory=set)
    writable_code: list[str] = field(default_factory=list)
    signed: int = 0
    wrong: int = 0


def read(data: bytes) -> MachO:
    """Raises ValueError for anything but a Mach-O file of 64 bits."""
    magic, processor, _, kind, commands = struct.unpack_from("<5I", data)
    if magic != _MAGIC:
        raise ValueError("not a Mach-O file of 64 bits")
    found = MachO(processor, kind)
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", data, at)
        match command & 0x7FFFFFFF:
            case c if c == _BUILD:
                found.platform, least = struct.unpack_from("<2I", data, at + 8)
                found.minimum = (least >> 16, least >> 8 & 0xFF)
            case c if c == _NAME:
                found.name = _text(data, at + struct.unpack_from("<I", data, at + 8)[0])
            case c if c == _LOAD:
                found.libraries.append(_text(data, at + struct.unpack_from("<I", data, at + 8)[0]))
            case c if c == _SYMBOLS:
                _read_symbols(data, found, *struct.unpack_from("<4I", data, at + 8))
            case c if c == _SEGMENT:
                most, initial = struct.unpack_from("<2I", data, at + 56)
                if most & 6 == 6 or initial & 6 == 6:
                    found.writable_code.append(_text(data, at + 8))
            case c if c == _SIGNATURE:
                _read_signature(data, found, *struct.unpack_from("<2I", data, at + 8))
        at += size
    return found


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a static library by name, of one processor after the other."""
    if archive[:4] == b"\xca\xfe\xba\xbe":
        (count,) = struct.unpack_from(">I", archive, 4)
        for i in range(count):
            offset, size = struct.unpack_from(">2I", archive, 16 + 20 * i)
            yield from members(archive[offset : offset + size])
        return
    if archive[:8] != b"!<arch>\n":
        raise ValueError("not a static library")
    at = 8
    while at < len(archive):
        name, size = archive[at : at + 16].decode().strip(), int(archive[at + 48 : at + 58])
        content = archive[at + 60 : at + 60 + size]
        if name.startswith("#1/"):
            length = int(name[3:])
            name, content = content[:length].rstrip(b"\0").decode(), content[length:]
        if not name.startswith("__.SYMDEF"):
            yield name, content
        at += 60 + size + size % 2


def system_names(tbd: Path) -> set[str]:
    """The functions of a .tbd file, without the underscore in front."""
    listed = tbd.read_text().partition("symbols:")[2].partition("[")[2].partition("]")[0]
    return {name.strip().removeprefix("_") for name in listed.split(",")}


def _read_symbols(
    data: bytes, to: MachO, symbols: int, count: int, strings: int, _strings_size: int
) -> None:
    for i in range(count):
        name, kind = struct.unpack_from("<IB", data, symbols + 16 * i)
        if not kind & _EXTERNAL:
            continue
        names = to.undefined
        if kind & _KIND == _DEFINED:
            names = to.hidden if kind & _PRIVATE else to.defined
        names.add(_text(data, strings + name).removeprefix("_"))


def _read_signature(data: bytes, to: MachO, begin: int, _size: int) -> None:
    magic, _, parts = struct.unpack_from(">3I", data, begin)
    assert magic == _SIGNATURE_MAGIC
    for i in range(parts):
        directory = begin + struct.unpack_from(">2I", data, begin + 12 + 8 * i)[1]
        if struct.unpack_from(">I", data, directory)[0] != _CODE_DIRECTORY:
            continue
        (hashes,) = struct.unpack_from(">I", data, directory + 16)
        to.signed, limit = struct.unpack_from(">2I", data, directory + 28)
        size, kind, page = data[directory + 36], data[directory + 37], 1 << data[directory + 39]
        assert (size, kind, limit) == (32, 2, begin), "SHA-256 of all in front of the signature"
        for k in range(to.signed):
            digest = hashlib.sha256(data[k * page : min((k + 1) * page, limit)]).digest()
            at = directory + hashes + 32 * k
            to.wrong += digest != data[at : at + 32]


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode()
