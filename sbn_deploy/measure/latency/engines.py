"""A model in an inference engine, ready to be measured."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sbn_runtime import ModelError, Session
from sbn_runtime.native import forced_isa


class Engine(Protocol):
    """A loaded model with one input.

    `name` is what results call it: "sbn", "onnxruntime-fp32", "lce".
    """

    @property
    def name(self) -> str: ...

    @property
    def threads(self) -> int: ...

    def adapt(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The images x, float32 [N, C, H, W] from -1 to 1, in the form that `run` takes."""

    def run(self, x: NDArray[Any]) -> object:
        """Computes the outputs for a batch. This is what is timed."""


@dataclass(frozen=True)
class OnnxEngine:
    """A model in onnxruntime as it comes. Nothing is checked or copied around the call."""

    name: str
    threads: int
    session: onnxruntime.InferenceSession

    def adapt(self, x: NDArray[np.float32]) -> NDArray[Any]:
        return x

    def run(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self.session.run(None, {"input": x})
        return outputs

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output `probabilities`, float32 [N, K]."""
        (probabilities,) = self.session.run(["probabilities"], {"input": x})
        return np.asarray(probabilities)


@dataclass(frozen=True)
class SbnEngine:
    """An exported model with the bit-packed kernels, called as users call it."""

    name: str
    threads: int
    session: Session

    def adapt(self, x: NDArray[np.float32]) -> NDArray[Any]:
        if self.session.inputs[0].dtype != "uint8":
            return x
        pixels = np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))

    def run(self, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return self.session.run(x)

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output `probabilities`, float32 [N, K]."""
        return self.session.predict_proba(self.adapt(x))


def sbn_engine(name: str, path: Path, *, threads: int, isa: str | None = None) -> SbnEngine:
    """An exported model, with the fastest kernels of this CPU or those of `isa`.

    Raises what `sbn_runtime.Session` raises.
    """
    with forced_isa(isa) if isa else nullcontext():
        return SbnEngine(name, threads, Session(path, threads=threads))


def stock_engine(name: str, path: Path, *, threads: int | None) -> OnnxEngine:
    """A model in onnxruntime as it comes, without the sbn kernels.

    `threads` is None for one on each core. Raises ModelError if the file cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelError(f"{path}: cannot be loaded: {error}") from error
    return OnnxEngine(name, threads or 0, session)
