"""A model in an inference engine, ready to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sbn_runtime.session import session_options


@dataclass(frozen=True)
class Engine:
    """A loaded model with one input. Nothing is checked or copied around the call.

    `name` is what results call it: "sbn", "onnxruntime-fp32", "onnxruntime-int8".
    """

    name: str
    threads: int
    session: onnxruntime.InferenceSession

    def run(self, x: NDArray[np.float32]) -> list[NDArray[Any]]:
        """All outputs for the batch `x`."""
        outputs: list[NDArray[Any]] = self.session.run(None, {"input": x})
        return outputs

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output `probabilities`, float32 [N, K]."""
        (probabilities,) = self.session.run(["probabilities"], {"input": x})
        return np.asarray(probabilities)


def sbn_engine(name: str, path: Path, *, threads: int) -> Engine:
    """An exported model with the bit-packed kernels."""
    return _load(name, path, threads, session_options(threads))


def stock_engine(name: str, path: Path, *, threads: int) -> Engine:
    """A model in onnxruntime as it comes, without the sbn kernels."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return _load(name, path, threads, options)


def _load(name: str, path: Path, threads: int, options: onnxruntime.SessionOptions) -> Engine:
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Engine(name, threads, session)
