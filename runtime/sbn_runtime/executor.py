"""A model file in onnxruntime: loading it, and computing batches of any size."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from . import sampling
from .errors import InputError, ModelError
from .modelfile import imported_domains
from .native import library_path, select_isa
from .sampling import Draw

DOMAIN = "sbn"
METADATA_KEY = "sbn"
# About a level-2 cache: activations beyond it make a large batch slower than its images.
_CACHE_BYTES = 1 << 20
# Samples of an image share what precedes the first noise: so many are drawn together
# even where they leave the cache.
_SAMPLES_TOGETHER = 32
_DTYPES = {"float": "float32", "double": "float64"}
# onnxruntime's errors share no base class of their own.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        member
        for member in vars(onnxruntime_pybind11_state).values()
        if isinstance(member, type) and issubclass(member, Exception)
    ),
)


class TensorInfo(NamedTuple):
    """One input or output: a dimension is a size, a name, or None when unknown."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class Executor:
    """Computes a model's outputs for checked input.

    Attributes:
        inputs, outputs, metadata: as of `Session`.
        defaults: what a model with noise draws unless told otherwise, else None.

    Raises ModelError where the file cannot be used, and what `session_options` raises.
    """

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path = path
        if DOMAIN not in imported_domains(path):
            raise ModelError(f"{path}: has no sbn operators; write the file with `sbn export`")
        try:
            # A list of providers skips the search for accelerators.
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(threads), providers=["CPUExecutionProvider"]
            )
        except _ORT_ERRORS as error:
            raise ModelError(f"{path}: cannot be loaded: {_reason(error)}") from error
        self.inputs = [_describe(node) for node in self._session.get_inputs()]
        self.outputs = [_describe(node) for node in self._session.get_outputs()]
        if len(self.inputs) != 1:
            raise ModelError(f"{path}: has {len(self.inputs)} inputs instead of one")
        self._input = self.inputs[0].name
        self.metadata = _metadata(path, self._session)
        self.output_names = [output.name for output in self.outputs]
        self.defaults = self._noise()
        self._batch_axes, self._piece = self._pieces()

    def run(self, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All outputs of a model without noise. Raises ModelError."""
        if len(x) <= self._piece:
            values = self._compute(self.output_names, {self._input: x})
        else:
            pieces = [
                self._compute(self.output_names, {self._input: x[start : start + self._piece]})
                for start in range(0, len(x), self._piece)
            ]
            values = [
                np.concatenate(parts, axis)
                for parts, axis in zip(zip(*pieces, strict=True), self._batch_axes, strict=True)
            ]
        return dict(zip(self.output_names, values, strict=True))

    def sample(self, x: NDArray[Any], draw: Draw) -> NDArray[np.float32]:
        """Logits [M, S, N, K] of the samples drawn by a model with noise. Raises ModelError.

        Computed in pieces of images and, where one image has many, of samples.
        """
        images = max(1, self._piece // draw.samples)
        groups = list(draw.groups(max(self._piece, _SAMPLES_TOGETHER)))
        return np.concatenate(
            [
                np.concatenate([self._rows(x[at : at + images], group) for group in groups], axis=1)
                for at in range(0, len(x), images)
            ],
            axis=2,
        )

    def _rows(self, x: NDArray[Any], draw: Draw) -> NDArray[np.float32]:
        feeds = {
            self._input: x,
            sampling.SEED: np.array(draw.seed, np.int64),
            sampling.SAMPLES: np.array(draw.samples, np.int64),
            sampling.FIRST_SAMPLE: np.array(draw.first, np.int64),
        }
        (logits,) = self._compute([sampling.ROWS], feeds)
        return logits.reshape(-1, draw.samples, *logits.shape[1:])

    def _compute(self, names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            values: list[NDArray[Any]] = self._session.run(names, feeds)
        except _ORT_ERRORS as error:
            shape = list(feeds[self._input].shape)
            raise ModelError(
                f"{self._path}: failed on input of shape {shape}: {_reason(error)}"
            ) from error
        return values

    def _noise(self) -> Draw | None:
        controls = {node.name for node in self._session.get_overridable_initializers()}
        if not controls.issuperset(sampling.INPUTS):
            return None
        defaults = sampling.defaults(self.metadata)
        if defaults is None or not {sampling.ROWS, "probabilities"}.issubset(self.output_names):
            raise ModelError(
                f"{self._path}: does not say how its noise is sampled; export the model again"
            )
        return defaults

    def _pieces(self) -> tuple[list[int], int]:
        """Each output's batch axis, and how many images are computed at once.

        A batch whose activations leave the cache is computed piece by piece, so
        that no image costs more in a batch than alone. Each noise sample of an
        image counts as one.
        """
        batch = self.inputs[0].shape[0]
        working_set = self.metadata.get("working_set")
        whole = sys.maxsize
        if not isinstance(batch, str) or not isinstance(working_set, int) or working_set < 1:
            return [], whole
        if any(output.shape.count(batch) != 1 for output in self.outputs):
            return [], whole
        axes = [output.shape.index(batch) for output in self.outputs]
        return axes, max(1, _CACHE_BYTES // working_set)


def session_options(threads: int | None = None) -> onnxruntime.SessionOptions:
    """onnxruntime options with the sbn kernels registered, as `Session` uses them.

    Raises InputError when `threads` is below 1, and IsaError as `Session` does.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    select_isa()
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(library_path()))
    options.intra_op_num_threads = threads or 0
    # Errors reach the caller as exceptions; onnxruntime need not print them too.
    options.log_severity_level = 4
    return options


def _describe(node: Any) -> TensorInfo:
    element = re.sub(r"^tensor\((.*)\)$", r"\1", node.type)
    return TensorInfo(node.name, _DTYPES.get(element, element), tuple(node.shape))


def _metadata(path: Path, session: onnxruntime.InferenceSession) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "{}")
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise ModelError(f"{path}: its sbn metadata is damaged; export the model again")
    return metadata


def _reason(error: Exception) -> str:
    """onnxruntime's message on one line, without its prefix."""
    text = " ".join(str(error).split())
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
