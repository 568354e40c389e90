"""NumPy archives, as data sets, and arrays, as `sbn predict` reads them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy import data
from sbn_deploy.reading import npy

from .mutate import INTEGERS, LARGE, damaged, verdict

TYPES = (
    "|u1",
    "<i8",
    "<u8",
    "<f4",
    "<f8",
    "|O",
    "<U3",
    "|S2",
    "<U0",
    "|V4",
    "<c8",
    "<M8[s]",
    "|b1",
)


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    arrays = _arrays(rng)
    members = {f"{name}.npy": _npy(array, rng) for name, array in arrays.items()}
    if rng.random() < 0.1:
        members[rng.choice(("images", "notes.txt", "a\udcff.npy", "labels.npy"))] = rng.randbytes(9)
    path = folder / "set.npz"
    path.write_bytes(_archive(members, rng))
    single = folder / "x.npy"
    single.write_bytes(rng.choice(list(members.values())))
    split = rng.choice(("train", "test", "validation", "train+validation"))
    return verdict(
        lambda: data.load(f"npz:{path}", split),
        lambda: _streamed(f"npz:{path}"),
        lambda: npy.read(single),
    )


def _streamed(spec: str) -> None:
    if not data.is_classified_images(spec):
        return
    stream = data.stream_test(spec)
    for _ in stream.read(np.arange(len(stream))):
        pass


def _arrays(rng: random.Random) -> dict[str, NDArray[Any]]:
    """A good data set, then one or two things wrong with it."""
    count = rng.choice((0, 1, 12, 30, 30, 30, 40))
    shape = rng.choice(((3, 3), (4, 2, 1), (2, 2, 3), (1, 1), (3, 3), (0, 3)))
    images = np.arange(count * int(np.prod(shape))).astype(np.uint8).reshape(count, *shape)
    labels = np.arange(count) % 2
    arrays: dict[str, NDArray[Any]] = {"images": images, "labels": labels}
    if rng.random() < 0.3:
        arrays |= {"test_images": images[:4], "test_labels": labels[:4]}
    if rng.random() < 0.3:
        arrays["classes"] = np.array(["a", "b"])
    if rng.random() < 0.3:
        x = np.ones((count, rng.choice((1, 5))), np.float32)
        y = rng.choice((labels, x, labels.astype(np.uint8)[:, None], images.astype(np.int64)))
        arrays |= {"x": x, "y": y, "mean": np.zeros(5), "std": np.ones(5)}
    if rng.random() < 0.4:
        name = rng.choice(list(arrays))
        arrays[name] = _other(arrays[name], rng)
    if rng.random() < 0.1:
        del arrays[rng.choice(list(arrays))]
    return arrays


def _other(array: NDArray[Any], rng: random.Random) -> NDArray[Any]:
    match rng.randrange(7):
        case 0 if array.size:
            kind = rng.choice((np.int64, np.uint64, np.int32, np.float64))
            other = array.astype(kind) if array.dtype.kind in "iufb" else np.zeros(3, kind)
            top = 2**31 if kind is np.int32 else 2**63 if kind is np.int64 else 2**64
            value = rng.choice([n for n in (*INTEGERS, *LARGE) if n < top])
            other.flat[rng.randrange(other.size)] = value
            return other
        case 1:
            return np.array(rng.choice((5, "cat", 1.5, True)))
        case 2:
            return array.T
        case 3:
            return array[..., :1]
        case 4:
            return array[: rng.randrange(4)]
        case 5 if array.dtype.kind in "iuf":
            return array.astype(rng.choice(("f4", "f8", "u8", "i1", "?", "U2")))
        case _:
            return array[np.newaxis]


def _npy(array: NDArray[Any], rng: random.Random) -> bytes:
    """The array as a .npy file, at times with another header."""
    file = io.BytesIO()
    np.save(file, array)
    data = file.getvalue()
    if rng.random() < 0.9:
        return data
    size = 10 + struct.unpack("<H", data[8:10])[0]
    if rng.random() < 0.5:
        return damaged(data[:size], rng) + data[size:]
    side = rng.choice((*INTEGERS, *LARGE, -1, True, "'a'", 1.5, [], "(" * 200, "-" * 9000))
    kind = rng.choice(TYPES)
    text = rng.choice(
        (
            f"{{'descr':'{kind}','fortran_order':{rng.random() < 0.5},'shape':({side},)}}\n",
            f"{{'descr':'{kind}','fortran_order':False,'shape':({side},0,2)}}\n",
            f"{{'descr':[('a','{kind}')],'fortran_order':False,'shape':(3,)}}\n",
            "{'descr':'|u1','fortran_order':False,'shape':(1,8\n",
            "{'descr':'<U99999999','fortran_order':False,'shape':(1,)}\n",
            "'''\n",
            "\\x" * 20,
            " " * rng.choice((10, 9_990, 60_000)),
        )
    )
    version = rng.choice((1, 1, 2, 3, 9))
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + length + text.encode() + data[size:]


def _archive(members: dict[str, bytes], rng: random.Random) -> bytes:
    file = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    if rng.random() < 0.03:
        method = rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(
                zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), data, method
            )
    data = file.getvalue()
    if rng.random() < 0.15:
        data = _field(data, rng)
    return damaged(data, rng) if rng.random() < 0.1 else data


def _field(data: bytes, rng: random.Random) -> bytes:
    """Another value in a field of an entry: flags, method, sizes, offsets, lengths."""
    magic, offsets = rng.choice(
        ((b"PK\3\4", (4, 6, 8, 14, 18, 22, 26, 28)), (b"PK\1\2", (6, 8, 10, 16, 20, 24, 28, 42)))
    )
    places = [i for i in range(len(data)) if data.startswith(magic, i)]
    at = rng.choice(places) + rng.choice(offsets)
    value = rng.choice((0, 1, 8, 12, 14, 99, 2**16 - 1, 2**31, 2**32 - 1))
    size = 2 if value < 2**16 else 4
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]
