"""Image files, as data sets and `sbn predict` read them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageDraw

from sbn_runtime.decode import decode

from .mutate import INTEGERS, damaged, verdict

FORMATS = ("png", "jpeg", "gif", "bmp", "ppm", "tiff", "webp", "ico", "tga")
MODES = ("L", "RGB", "P", "RGBA", "1", "LA", "I;16", "CMYK", "F")


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    content = _png(rng) if rng.random() < 0.3 else _saved(rng)
    if rng.random() < 0.7:
        content = damaged(content, rng)
    path = folder / "image"
    path.write_bytes(content)
    return verdict(lambda: decode(content), lambda: decode(path))


def _saved(rng: random.Random) -> bytes:
    """A small image in any format that can hold its mode."""
    image = Image.new(rng.choice(MODES), (rng.choice((1, 5, 17)), rng.choice((1, 8))))
    if image.mode in ("L", "RGB"):
        ImageDraw.Draw(image).line((0, 0, 9, 9), fill=200)
    file = io.BytesIO()
    try:
        image.save(file, rng.choice(FORMATS))
    except (OSError, KeyError, ValueError):
        Image.new("RGB", image.size).save(file, "png")
    return file.getvalue()


def _png(rng: random.Random) -> bytes:
    """A PNG of any claimed size, with odd chunks whose checksums are right."""
    width, height = rng.choice(INTEGERS), rng.choice(INTEGERS)
    if rng.random() < 0.5:
        width = height = 8
    header = struct.pack(
        ">IIBBBBB", width % 2**32, height % 2**32, rng.choice((1, 8, 8, 16, 3)),
        rng.choice((0, 0, 2, 3, 4, 6, 7)), rng.choice((0, 0, 0, 1)), 0, rng.choice((0, 0, 1)),
    )  # fmt: skip
    text = zlib.compress(bytes(rng.choice((1, 10, 2_000_000))))
    extra = rng.choice(
        (
            b"",
            _chunk(b"zTXt", b"a\0\0" + text),
            _chunk(b"iTXt", b"a\0\1\0\0\0" + text),
            _chunk(b"iCCP", b"a\0\0" + text),
            _chunk(b"PLTE", rng.randbytes(rng.choice((3, 7, 900)))),
            _chunk(b"tRNS", rng.randbytes(2)),
            _chunk(b"eXIf", rng.randbytes(20)),
            _chunk(b"acTL", rng.randbytes(8)),
            _chunk(b"\xff\xfeab", b""),
        )
    )
    data = zlib.compress(bytes(rng.choice((0, 72, 1000))))
    chunks = (_chunk(b"IHDR", header), extra, _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
