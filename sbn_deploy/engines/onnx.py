"""ONNX files: ours with the bit-packed kernels, and any file in plain onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from sbn_deploy.engines.engine import Feed
from sbn_runtime import ModelError, Session, TensorInfo
from sbn_runtime.executor import describe_input, session_options
from sbn_runtime.native import forced_isa


@dataclass(frozen=True)
class SbnEngine:
    """An exported model with the bit-packed kernels, called as users call it."""

    name: str
    threads: int
    session: Session

    @property
    def inputs(self) -> Sequence[TensorInfo]:
        return self.session.inputs

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        return self.session.run(feed)


class OnnxEngine:
    """A model in onnxruntime. Nothing is checked or copied around the call."""

    def __init__(self, name: str, threads: int, session: onnxruntime.InferenceSession) -> None:
        self.name, self.threads, self.session = name, threads, session
        self.inputs: Sequence[TensorInfo] = [describe_input(node) for node in session.get_inputs()]
        self.outputs = [node.name for node in session.get_outputs()]

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        return dict(zip(self.outputs, self.session.run(self.outputs, feed), strict=True))


def sbn_engine(path: Path, *, threads: int, name: str = "sbn") -> SbnEngine:
    """An exported model. Raises what `sbn_runtime.Session` raises."""
    return SbnEngine(name, threads, Session(path, threads=threads))


def kernel_engine(
    model: bytes | Path,
    *,
    threads: int | None = None,
    isa: str | None = None,
    profile: Path | None = None,
    spin: bool = True,
    name: str = "sbn",
) -> OnnxEngine:
    """A model in onnxruntime with our kernels, without the checks of a `Session`.

    Args:
        isa: which kernels; None for the fastest of this CPU. While the model is loaded, it holds
            for the whole process.
        profile: where onnxruntime's profiler writes, the beginning of the name.
        spin: whether threads look for work between calls, on cores that others in this process
            may need.

    Raises ModelError if the model cannot be loaded.
    """
    with forced_isa(isa) if isa else nullcontext():
        options = session_options(threads)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        if not spin:
            options.add_session_config_entry("session.force_spinning_stop", "1")
        return _loaded(model, options, name)


def stock_engine(
    model: bytes | Path, *, threads: int | None = None, name: str = "onnxruntime"
) -> OnnxEngine:
    """A model in plain onnxruntime, without our kernels.

    `threads` is None for one on each core. Raises ModelError if it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    return _loaded(model, options, name)


def _loaded(model: bytes | Path, options: onnxruntime.SessionOptions, name: str) -> OnnxEngine:
    options.log_severity_level = 4
    given = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        what = "the model" if isinstance(model, bytes) else model
        raise ModelError(f"{what}: cannot be loaded: {error}") from error
    return OnnxEngine(name, options.intra_op_num_threads, session)
