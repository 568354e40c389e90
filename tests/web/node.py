"""The JavaScript runtime, called in Node.js by `run.mjs`."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..built import RUNTIME

NODE = shutil.which("node")
WASM = Path(str(files("sbn_deploy").joinpath("libraries/web/sbn.wasm")))
needs_wasm = pytest.mark.skipif(
    not WASM.is_file(), reason="the runtime for browsers is not built: make web"
)
needs_node = pytest.mark.skipif(
    NODE is None, reason="node is not installed: apt-get install nodejs"
)
HERE = Path(__file__).parent
KERNELS = ("scalar", "wasm")


class WebError(Exception):
    """What JavaScript threw: name and message."""


@dataclass
class Job:
    """Calls of one model, or of the functions of a module where there is no `source`.

    Attributes:
        source: a URL of a model, or its bytes.
        calls: names of methods, functions or properties, and what methods are given.
    """

    source: str | bytes | None = None
    kernels: str = ""
    module: str = ""
    calls: list[tuple[str, Sequence[Any]]] = field(default_factory=list)


def call(*jobs: Job) -> list[list[Any]]:
    """What each call of each job gave, or the `WebError` that it, or loading its model, threw."""
    assert NODE is not None
    said = {
        "folder": (RUNTIME / "web").as_uri(),
        "wasm": WASM.as_uri(),
        "jobs": [
            {
                "module": job.module,
                "kernels": job.kernels,
                **({} if job.source is None else {"source": _encoded(job.source)}),
                "calls": [
                    {"name": name, "given": [_encoded(value) for value in given]}
                    for name, given in job.calls
                ],
            }
            for job in jobs
        ],
    }
    done = subprocess.run(
        [NODE, HERE / "run.mjs"],
        input=json.dumps(said),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [
        [WebError(one["error"]) if "error" in one else _decoded(one["value"]) for one in results]
        for results in json.loads(done.stdout)
    ]


def tensors(outputs: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The outputs of `run` as arrays."""
    return {
        name: tensor["data"].reshape([int(size) for size in tensor["shape"]])
        for name, tensor in outputs.items()
    }


def picture(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Pixels [H, W] or [H, W, 1 to 4] as JavaScript takes them."""
    return {"data": pixels.ravel(), "width": pixels.shape[1], "height": pixels.shape[0]}


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        value = np.frombuffer(value, np.uint8)
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"type": value.dtype.name, "data": data}
    if isinstance(value, dict):
        return {key: _encoded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(inner) for inner in value]
    if isinstance(value, int) and abs(value) >= 1 << 53:
        return {"bigint": str(value)}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"bigint"}:
        return int(value["bigint"])
    if value.keys() == {"type", "data"}:
        return np.frombuffer(base64.b64decode(value["data"]), value["type"])
    return {key: _decoded(inner) for key, inner in value.items()}
