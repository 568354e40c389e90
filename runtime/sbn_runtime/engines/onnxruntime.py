"""Models in onnxruntime, with our operators or without."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from ..feeds import Feeds, TensorInfo
from ..modelfile import METADATA_KEY
from ..native import library_path, select_isa
from ..shutdown import call
from ..system import default_threads
from ..threads import check_threads
from . import Failure

_DTYPES = {"float": "float32", "double": "float64"}


class InOnnxruntime:
    """A model in onnxruntime; see `Engine`."""

    def __init__(self, model: Path | bytes, options: onnxruntime.SessionOptions) -> None:
        try:
            self._session = call(
                onnxruntime.InferenceSession,
                model if isinstance(model, bytes) else str(model),
                options,
                # Naming the providers skips the search for accelerators.
                providers=["CPUExecutionProvider"],
                # It would print, and load the file once more.
                enable_fallback=0,
            )
            self.inputs = [describe_input(node) for node in self._session.get_inputs()]
            self.outputs = [describe_input(node) for node in self._session.get_outputs()]
            controls = self._session.get_overridable_initializers()
            self.controls = frozenset(node.name for node in controls)
            said: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
            self.metadata = said.get(METADATA_KEY)
        # Files may contain anything, and onnxruntime's bindings may raise any exception, such as
        # TypeError and UnicodeDecodeError for names.
        except Exception as error:
            raise Failure(_reason(error)) from error

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        try:
            values: list[NDArray[Any]] = call(self._session.run, list(names), dict(feeds))
        except Exception as error:
            raise Failure(_reason(error)) from error
        return values


def session_options(threads: int | None = None, *, spin: bool = True) -> onnxruntime.SessionOptions:
    """onnxruntime options with the sbn kernels registered, as `Session` uses them.

    threads, spin: as of `Session`.

    Raises InputError when `threads` is not 1 to `sbn_runtime.threads.MOST_THREADS`, and
    IsaError as `Session` does.
    """
    options = stock_options(threads, spin=spin)
    select_isa()
    options.register_custom_ops_library(str(library_path()))
    return options


def stock_options(threads: int | None = None, *, spin: bool = True) -> onnxruntime.SessionOptions:
    """The same without our kernels."""
    if threads is not None:
        check_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Errors reach the caller as exceptions; onnxruntime need not print them too.
    options.log_severity_level = 4
    return options


def describe_input(node: Any) -> TensorInfo:
    """What onnxruntime says of an input or output."""
    element = re.sub(r"^tensor\((.*)\)$", r"\1", node.type)
    return TensorInfo(node.name, _DTYPES.get(element, element), tuple(node.shape))


def _reason(error: Exception) -> str:
    """onnxruntime's message on one line, without its prefix."""
    text = " ".join(str(error).split())
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
