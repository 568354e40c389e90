"""A classifier that takes pictures of any size, and pictures in every form that it reads."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..calibrations import calibrated
from ..small_models import CLASSES, PREPROCESS, Classifier

BROKEN = b"no picture at all"


def classifier(path: Path) -> Path:
    """A calibrated model of the classes `CLASSES`."""
    metadata = {"classes": CLASSES, "preprocess": {**PREPROCESS, "fit": "stretch"}, "members": 1}
    return calibrated(Classifier.random(3).write(path, metadata=metadata))


def encoded(count: int, seed: int = 0) -> list[bytes]:
    """Pictures as PNG files, 4 to 11 pixels a side; every seventh is none."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        file = io.BytesIO()
        pixels = rng.integers(0, 256, (*rng.integers(4, 12, 2), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "png")
        found.append(BROKEN if index % 7 == 6 else file.getvalue())
    return found


def write_folder(folder: Path, pictures: list[bytes]) -> Path:
    """The pictures as files, fifty in a folder."""
    for index, content in enumerate(pictures):
        path = folder / f"{index // 50:03}" / f"{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_parquet(path: Path, pictures: list[bytes], group: int = 100) -> Path:
    """As data sets of the Hugging Face hub have them."""
    rows: list[dict[str, Any]] = [
        {"bytes": content, "path": f"{index:05}.png"} for index, content in enumerate(pictures)
    ]
    table = pa.table({"image": rows, "label": [0] * len(rows)})
    pq.write_table(table, path, row_group_size=group)
    return path


def write_tar(path: Path, pictures: list[bytes]) -> Path:
    """As WebDataset has them: a text beside each picture. Some names need headers of their own."""
    with tarfile.open(path, "w") as archive:
        for index, content in enumerate(pictures):
            name = f"{index:05}" if index % 3 else f"{'long' * 40}/ü{index:05}"
            for suffix, data in ((".png", content), (".cls", b"1")):
                member = tarfile.TarInfo(name + suffix)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path
