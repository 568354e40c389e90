"""ONNX files as they are, without the checks of a `Session`: in onnxruntime, and in our runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from sbn_deploy.engines.engine import Engine, Feed
from sbn_deploy.engines.table import NATIVE, ONNXRUNTIME, SBN
from sbn_runtime import ModelError, TensorInfo
from sbn_runtime.engines import Failure
from sbn_runtime.engines.native import Native
from sbn_runtime.engines.onnxruntime import describe_input, session_options, stock_options
from sbn_runtime.modelfile import check_constants
from sbn_runtime.native import forced_isa


class OnnxEngine:
    """A model in onnxruntime. Nothing is checked or copied around the call."""

    def __init__(self, name: str, threads: int, session: onnxruntime.InferenceSession) -> None:
        self.name, self.threads, self.session = name, threads, session
        self.inputs: Sequence[TensorInfo] = [describe_input(node) for node in session.get_inputs()]
        self.outputs = [node.name for node in session.get_outputs()]

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        return dict(zip(self.outputs, self.session.run(self.outputs, feed), strict=True))


class NativeEngine:
    """A model in our own runtime, on one thread."""

    threads = 1

    def __init__(self, name: str, model: bytes | Path) -> None:
        self.name = name
        try:
            self._loaded = Native(model, threads=1)
        except Failure as error:
            raise ModelError(f"{_what(model)}: cannot be loaded: {error}") from error
        self.inputs: Sequence[TensorInfo] = self._loaded.inputs
        self.outputs = [node.name for node in self._loaded.outputs]

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        try:
            return dict(zip(self.outputs, self._loaded.run(self.outputs, feed), strict=True))
        except Failure as error:
            raise ModelError(f"the model failed in engine {self.name}: {error}") from error


def kernel_engine(
    model: bytes | Path,
    *,
    threads: int | None = None,
    isa: str | None = None,
    profile: Path | None = None,
    spin: bool = True,
    name: str = SBN,
) -> OnnxEngine:
    """A model in onnxruntime with our kernels.

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
    model: bytes | Path, *, threads: int | None = None, name: str = ONNXRUNTIME
) -> OnnxEngine:
    """A model in plain onnxruntime, without our kernels.

    `threads` is as of `Session`. Raises ModelError if it cannot be loaded.
    """
    if isinstance(model, Path):
        check_constants(model)
    return _loaded(model, stock_options(threads), name)


def native_engine(model: bytes | Path, *, name: str = NATIVE) -> NativeEngine:
    """A model in our own runtime. Raises ModelError if it cannot be loaded."""
    return NativeEngine(name, model)


def native_lacks(model: bytes | Path) -> str:
    """Why our own runtime cannot run a model, on one line; "" where it can."""
    try:
        NativeEngine(NATIVE, model)
    except ModelError as error:
        return str(error.__cause__)
    return ""


def engine_of(name: str, model: bytes) -> Engine:
    """A model in an engine of `sbn_runtime.engines`, on one thread.

    Raises ModelError if it cannot be loaded.
    """
    if name == NATIVE:
        return native_engine(model)
    return {SBN: kernel_engine, ONNXRUNTIME: stock_engine}[name](model, threads=1)


def _loaded(model: bytes | Path, options: onnxruntime.SessionOptions, name: str) -> OnnxEngine:
    given = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelError(f"{_what(model)}: cannot be loaded: {error}") from error
    return OnnxEngine(name, options.intra_op_num_threads, session)


def _what(model: bytes | Path) -> str:
    return "the model" if isinstance(model, bytes) else str(model)
