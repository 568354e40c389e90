"""Checkpoints, and weights of others, in safetensors files."""

from __future__ import annotations

import functools
import io
import json
import random
import struct
import tempfile
from pathlib import Path

import safetensors.torch
import torch

from sbn_deploy.networks import read_state
from sbn_deploy.networks.loading import header_of
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint, state
from tests.checkpoints import META

from .mutate import changed, damaged, verdict

DTYPES = ("F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F64", "X9", 5)


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    good = _checkpoint() if rng.random() < 0.8 else _state()
    content = _with_header(good, rng) if rng.random() < 0.85 else damaged(good, rng)
    path = folder / "x.safetensors"
    path.write_bytes(content)
    readers = [
        lambda: checkpoint.load(path),
        lambda: header_of(path),
        lambda: read_state(path),
        lambda: state.Saved(path),
    ]
    if rng.random() < 0.1:
        pickled = folder / "x.pt"
        pickled.write_bytes(damaged(_pickled(), rng))
        readers.append(lambda: read_state(pickled))
    answers = [verdict(read) for read in readers]
    # A file is either a checkpoint or a state.
    return "accepted" if "accepted" in (answers[0], answers[3]) else "refused"


@functools.cache
def _checkpoint() -> bytes:
    metrics = {"thresholded": {"accuracy": 0.5}, "ensemble": {"accuracy": 0.5, "members": 2}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        checkpoint.save(path, models.create("digits-cnn", width=4), META | {"metrics": metrics})
        return path.read_bytes()


@functools.cache
def _state() -> bytes:
    header = {
        "format": state.FORMAT,
        "version": state.VERSION,
        "config": {"epochs": 2, "out": "x"},
        "position": vars(state.Position(history=[{"epoch": 1}])),
        "numbers": {"optimizer.0.0.step": 1.5},
        "processes": 1,
    }
    return safetensors.torch.save({"model.x": torch.zeros(3)}, {"sbn": json.dumps(header)})


@functools.cache
def _pickled() -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.zeros(2, 3)}, "epoch": 3}, file)
    return file.getvalue()


def _with_header(content: bytes, rng: random.Random) -> bytes:
    """The file with something else in the header: of ours mostly, or of the format."""
    size = struct.unpack("<Q", content[:8])[0]
    tensors = json.loads(content[8 : 8 + size])
    said = tensors["__metadata__"]["sbn"]
    if rng.random() < 0.75:
        fields = json.loads(said)
        for _ in range(rng.choice((0, 1, 1, 2))):
            fields = changed(fields, rng)
        said = json.dumps(fields)
        if rng.random() < 0.1:
            said = damaged(said.encode(), rng).decode(errors="replace")
        if rng.random() < 0.02:
            said = rng.choice("[{") * 100_000
        tensors["__metadata__"]["sbn"] = said
    else:
        name = rng.choice(list(tensors))
        if name != "__metadata__" and rng.random() < 0.5:
            tensors[name]["dtype"] = rng.choice(DTYPES)
        else:
            tensors = changed(tensors, rng)
    start = json.dumps(tensors).encode()
    if rng.random() < 0.05:
        start = damaged(start, rng)
    return struct.pack("<Q", len(start)) + start + content[8 + size :]
