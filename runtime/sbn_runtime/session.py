"""A model file, ready to run."""

from __future__ import annotations

import json
import re
import sys
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from .errors import InputError, ModelError
from .modelfile import imported_domains
from .native import library_path, select_isa
from .preprocess import Preprocess

DOMAIN = "sbn"
METADATA_KEY = "sbn"
# About a level-2 cache: activations beyond it make a large batch slower than its samples.
_CACHE_BYTES = 1 << 20
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


class Session:
    """Runs one exported model on the CPU with the bit-packed kernels.

    A session may be used by several threads at once.

    Args:
        path: an ONNX file written by `sbn export`.
        threads: number of threads that share the work of one call; by default
            as many as there are cores.

    Attributes:
        inputs, outputs: what the model takes and gives.
        metadata: what `sbn export` noted about the model: sbn_deploy (version),
            checkpoint_sha256, arch, config, data, members, weights, seed,
            activations, preprocess, classes, test_accuracy. Empty for a file
            from elsewhere.

    Raises:
        ModelError: the file is missing, damaged, or has no sbn operators.
        InputError: `threads` is below 1.
        IsaError: SBN_ISA names a kernel set that is unknown or that this CPU lacks.
    """

    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    metadata: dict[str, Any]

    def __init__(self, path: str | PathLike[str], *, threads: int | None = None) -> None:
        self._path = Path(fspath(path))
        if DOMAIN not in imported_domains(self._path):
            raise ModelError(
                f"{self._path}: has no sbn operators; write the file with `sbn export`"
            )
        try:
            # A list of providers skips the search for accelerators.
            self._session = onnxruntime.InferenceSession(
                str(self._path), session_options(threads), providers=["CPUExecutionProvider"]
            )
        except _ORT_ERRORS as error:
            raise ModelError(f"{self._path}: cannot be loaded: {_reason(error)}") from error
        self.inputs = [_describe(node) for node in self._session.get_inputs()]
        self.outputs = [_describe(node) for node in self._session.get_outputs()]
        if len(self.inputs) != 1:
            raise ModelError(f"{self._path}: has {len(self.inputs)} inputs instead of one")
        self.metadata = _metadata(self._path, self._session)
        self._output_names = [output.name for output in self.outputs]
        self._input = self.inputs[0].name
        self._dtype = np.dtype(self.inputs[0].dtype)
        self._batch_axes, self._piece = self._pieces()

    def run(self, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All outputs of the model, by name.

        Args:
            x: the batch, of the dtype and shape that `inputs` states: float32
               [N, C, H, W], normalised, or uint8 [N, H, W, C] if the model takes
               pixels. `preprocess` makes it from images.

        Raises:
            InputError: wrong dtype or shape, an empty batch, or NaN.
            ModelError: a kernel found the model inconsistent.
        """
        self._check(x)
        if len(x) <= self._piece:
            values = self._compute(x)
        else:
            pieces = [
                self._compute(x[start : start + self._piece])
                for start in range(0, len(x), self._piece)
            ]
            values = [
                np.concatenate(parts, axis)
                for parts, axis in zip(zip(*pieces, strict=True), self._batch_axes, strict=True)
            ]
        return dict(zip(self._output_names, values, strict=True))

    def _compute(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            values: list[NDArray[Any]] = self._session.run(self._output_names, {self._input: x})
        except _ORT_ERRORS as error:
            raise ModelError(
                f"{self._path}: failed on input of shape {list(x.shape)}: {_reason(error)}"
            ) from error
        return values

    def predict_proba(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Class probabilities, float32 [N, K]; the mean over the members of an ensemble.

        Raises what `run` raises, and ModelError when the model is no classifier.
        """
        if "probabilities" not in self._output_names:
            raise ModelError(
                f"{self._path}: has no output named 'probabilities', only"
                f" {', '.join(self._output_names)}"
            )
        return self.run(x)["probabilities"]

    def predict(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Most probable class of each sample, int64 [N]. Raises what `predict_proba` raises."""
        labels: NDArray[np.int64] = self.predict_proba(x).argmax(axis=1)
        return labels

    def preprocess(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Brings images into the form that the model takes.

        Args:
            images: uint8 [N, H, W, C].

        Returns:
            float32 [N, C, H, W], normalised as the model was trained on; the
            images themselves if the model takes pixels.

        Raises:
            InputError: wrong dtype, shape or range.
            ModelError: the model does not say how its input is normalised.
        """
        fields = self.metadata.get("preprocess")
        if not isinstance(fields, dict):
            raise ModelError(
                f"{self._path}: does not say how images are normalised; give it float32 input"
            )
        preprocess = Preprocess.from_json(fields)
        if self._dtype == np.uint8:
            preprocess.check(images)
            return images
        return preprocess.apply(images)

    def __repr__(self) -> str:
        return f"<sbn_runtime.Session {str(self._path)!r}>"

    def _pieces(self) -> tuple[list[int], int]:
        """Each output's batch axis, and how many samples are computed at once.

        A batch whose activations leave the cache is computed piece by piece, so
        that no sample costs more in a batch than alone.
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

    def _check(self, x: NDArray[Any]) -> None:
        expected = self.inputs[0]
        if not isinstance(x, np.ndarray):
            raise InputError(f"input must be a numpy array, this is {type(x).__name__}")
        if x.dtype != self._dtype:
            raise InputError(f"input must be {expected.dtype}, this is {x.dtype}; {_remedy(x)}")
        fits = len(x.shape) == len(expected.shape) and all(
            size == want or not isinstance(want, int)
            for size, want in zip(x.shape, expected.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("?" if size is None else str(size) for size in expected.shape)
            raise InputError(f"input must have shape [{wanted}], this has {list(x.shape)}")
        if not x.size:
            raise InputError(f"input is empty: shape {list(x.shape)}")
        if x.dtype.kind == "f" and np.isnan(x).any():
            raise InputError("input contains NaN")


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


def _remedy(x: NDArray[Any]) -> str:
    if x.dtype == np.uint8:
        return "turn images into input with session.preprocess(images)"
    return "convert it with x.astype(numpy.float32)"
