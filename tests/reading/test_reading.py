"""What is read from files of others, exactly, and what is said of those that lie."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray
from PIL import Image

from sbn_deploy import data
from sbn_deploy.reading import npy
from sbn_deploy.reading.npz import Archive
from sbn_deploy.reading.text import DEEPEST, parse_json, parse_toml, readable, readable_names
from sbn_runtime.decode import MOST_PIXELS, decode
from sbn_runtime.errors import ConfigError, InputError

IMAGES = np.arange(100 * 9, dtype=np.uint32).astype(np.uint8).reshape(100, 3, 3)
LABELS = np.arange(100) % 10
KINDS = ("u1", "i8", "u8", "f2", "f4", "f8", "c16", "U3", "S2", "M8[s]", "?")


def npy_of(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


# arrays


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_dims=0, min_side=0))
    ),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_an_array_is_what_numpy_reads(array: NDArray[Any], in_fortran_order: bool) -> None:
    written = npy_of(np.asarray(array, order="F" if in_fortran_order else "C"))
    found = npy.read_array(io.BytesIO(written), len(written))
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "reading magic string"),
        (npy_of(IMAGES)[:-1], "its header asks for 900 bytes, but it has 899"),
        (npy_of(IMAGES) + b"x", "its header asks for 900 bytes, but it has 901"),
        (header("{'descr':'|u1','fortran_order':False,'shape':(1,8\n"), "multi-line statement"),
        (header("{'descr':'<i8','fortran_order':False,'shape':(10**12,)}\n"), "malformed node"),
        (header("{'descr':'|u1','fortran_order':False,'shape':(-1,)}\n"), r"its shape is \[-1\]"),
        (header("{'descr':'<U0','fortran_order':False,'shape':(9,)}\n"), "not numbers or text"),
        (header("{'descr':'|O','fortran_order':False,'shape':(9,)}\n"), "holds object"),
        (header(" " * 20_000), "its header has 20,000 bytes, more than 10,000"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.npy is damaged or not a \.npy array: .*{message}"):
        npy.read(path)


def test_a_header_of_eight_terabytes_allocates_nothing(tmp_path: Path) -> None:
    text = "{'descr':'<i8','fortran_order':False,'shape':(1000000000000,)}\n"
    (tmp_path / "x.npy").write_bytes(header(text))
    with pytest.raises(InputError, match="asks for 8,000,000,000,000 bytes, but it has 0"):
        npy.read(tmp_path / "x.npy")


# archives


@pytest.mark.parametrize(
    ("local", "central", "value", "message"),
    [
        (6, 8, 1, "it is encrypted"),
        (8, 10, 99, "its compression method is 99"),
        (8, 10, zipfile.ZIP_BZIP2, "its compression method is 12"),
    ],
)
def test_archives_that_are_marked(
    tmp_path: Path, local: int, central: int, value: int, message: str
) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
        for at in [i for i in range(len(content)) if content.startswith(magic, i)]:
            content[at + offset : at + offset + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    for read in (data.stream_test, lambda spec: data.load(spec, "train")):
        with pytest.raises(ConfigError, match=rf"set\.npz: (images|labels) is damaged.*{message}"):
            read(f"npz:{path}")


@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_blocks_of_rows(tmp_path: Path, savez: Any) -> None:
    path = tmp_path / "set.npz"
    savez(path, labels=LABELS, images=IMAGES)
    spans = [range(3, 4), range(10, 60), range(99, 100)]
    with Archive(path) as archive:
        for leap in (False, True):
            found = [*archive.blocks("images", spans, leap=leap)]
            for span, rows in zip(spans, found, strict=True):
                assert np.array_equal(rows, IMAGES[span.start : span.stop].reshape(len(span), 9))
        archive.check("images")


def test_a_member_cannot_claim_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=IMAGES)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2")
    content[at + 24 : at + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with Archive(path) as archive, pytest.raises(ConfigError, match="claims 2,147,483,648 bytes"):
        archive["images"]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (100_000, np.int64, r"label \[3\] is 100000; .* 100,000 at most"),
        (2**40, np.int64, r"label \[3\] is 1099511627776"),
        (2**63, np.uint64, r"labels\[3\] is 9223372036854775808"),
        (2**64 - 1, np.uint64, r"labels\[3\] is 18446744073709551615"),
    ],
)
def test_labels_are_checked_before_anything_is_sized_by_them(
    tmp_path: Path, value: int, kind: type, message: str
) -> None:
    labels = LABELS.astype(kind)
    labels[3] = value
    path = tmp_path / "set.npz"
    np.savez(path, images=IMAGES, labels=labels)
    with pytest.raises(ConfigError, match=message):
        data.load(f"npz:{path}", "train")
    targets = {"images": IMAGES, "y": labels}
    np.savez(path, **targets)
    with pytest.raises(ConfigError, match=str(value)):
        data.load(f"npz:{path}", "train")


@pytest.mark.parametrize("classes", [np.array("cat"), np.array([["a", "b"]])])
def test_names_of_classes_are_a_list(tmp_path: Path, classes: NDArray[Any]) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=IMAGES, labels=LABELS, classes=classes)
    for read in (data.stream_test, lambda spec: data.load(spec, "train")):
        with pytest.raises(
            ConfigError, match=r"classes is <U[13] .*; it must be a list of K names"
        ):
            read(f"npz:{path}")


# images


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    start = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * height)) if width * height < 10**6 else b""
    chunks = (chunk(b"IHDR", start), extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("size", [(MOST_PIXELS + 1, 1), (13_000, 13_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_larger_than_any_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="pixels, more than 89,478,485"):
        decode(png(*size))


def test_an_image_of_more_pixels_than_its_bytes_can_hold_is_refused() -> None:
    with pytest.raises(InputError, match=r"claims 4000 x 5000 pixels in \d+ bytes"):
        decode(png(4000, 5000))


def test_a_comment_that_unpacks_to_much_is_refused() -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7), 9))
    with pytest.raises(InputError, match=r"not a readable image: .*too large"):
        decode(png(8, 8, bomb))
    assert decode(png(8, 8)).pixels.shape == (8, 8)


def test_formats_that_run_programs_are_not_read() -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "eps")
    with pytest.raises(InputError, match="of an unknown format; use one of BMP"):
        decode(file.getvalue())


# text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "it is nested too deeply"),
        ("[" + "1" * 5000 + "]", "is not valid JSON"),
        ("[18446744073709551616]", "a number of more than 64 bits"),
        (b"\xff\xfe[", "is not valid JSON"),
        ("{", "is not valid JSON"),
    ],
)
def test_json_that_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"^here .*{message}"):
        parse_json(text, "here")


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5_000 + "]" * 5_000, f"[{'.'.join('a' * 3000)}]\n", "x = 1" + "0" * 30]
)
def test_toml_that_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here is not valid TOML: "):
        parse_toml(text, "here")


def test_a_message_is_one_line_whatever_names_hold(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **{"a\nb\x0bc\u2028d": IMAGES})
    with pytest.raises(ConfigError, match=r"it holds a b c d$"):
        data.load(f"npz:{path}", "train")


def test_names_that_are_no_text() -> None:
    odd = os.fsdecode(b"caf\xe9")
    assert readable(odd) == "caf\N{REPLACEMENT CHARACTER}"
    names = readable_names(["café", odd, os.fsdecode(b"caf\xe8"), 5, "café"])
    assert names == ("café", "caf\ufffd", "caf\ufffd (2)", "5", "café")
    "".join(names).encode()
