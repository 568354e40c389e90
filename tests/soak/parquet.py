"""Parquet files of images and labels, as data sets."""

from __future__ import annotations

import functools
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from sbn_deploy import data

from .mutate import changed, damaged, verdict

VARIANTS = 24
GOOD: dict[str, Any] = {
    "info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}
}


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    content = _file(rng.randrange(VARIANTS))
    if rng.random() < 0.8:
        content = _damaged(content, rng)
    (folder / "train-0.parquet").write_bytes(content)
    spec = f"hf-parquet:{folder}"
    return verdict(lambda: data.load(spec, "train"), lambda: _streamed(spec))


def _streamed(spec: str) -> None:
    stream = data.stream_test(spec)
    for _ in stream.read(np.arange(len(stream))):
        pass


def _damaged(content: bytes, rng: random.Random) -> bytes:
    """Mostly in the footer, which says what is where."""
    if rng.random() < 0.3:
        return damaged(content, rng)
    size = int.from_bytes(content[-8:-4], "little")
    footer = damaged(content[-8 - size : -8], rng)
    return content[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@functools.cache
def _file(variant: int) -> bytes:
    """One of some good files, and of some with other columns."""
    rng = random.Random(variant)
    image = io.BytesIO()
    Image.new("L", (3, 3)).save(image, "png")
    images: list[Any] = [{"bytes": image.getvalue(), "path": "x"}] * 12
    labels: list[Any] = [0, 1] * 6
    if variant % 4 == 1:
        labels[3] = rng.choice((None, -1, 2**40, 7))
    if variant % 4 == 2:
        images[3] = rng.choice((None, {"bytes": None, "path": None}, {"bytes": b"x", "path": "x"}))
    kinds = (pyarrow.int64(), pyarrow.int64(), pyarrow.float64(), pyarrow.uint64())
    kind = kinds[variant % 4] if variant > 12 and None not in labels else pyarrow.int64()
    if kind == pyarrow.uint64():
        labels[0] = 2**64 - 1
    column = pyarrow.array(labels, kind)
    described = json.dumps(GOOD if variant % 3 else changed(GOOD, rng))
    table = pyarrow.table({"image": images, "label": column, "odd": column})
    if variant != 7:
        table = table.replace_schema_metadata({"huggingface": described})
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        file,
        row_group_size=rng.choice((5, 12)),
        compression=rng.choice(("none", "snappy", "gzip", "zstd")),
        use_dictionary=rng.random() < 0.5,
        store_schema=rng.random() < 0.5,
        version=rng.choice(("1.0", "2.6")),
    )
    return file.getvalue()
