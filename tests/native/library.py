"""The native runtime through its C interface, see runtime/include/sbn.h."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..built import ROOT

_TYPES = {1: "f4", 2: "u1", 3: "i1", 5: "i2", 6: "i4", 7: "i8", 9: "?", 13: "u8"}


class NativeError(Exception):
    """What sbn_last_error says."""


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * 8),
    )

    @property
    def sizes(self) -> list[int]:
        return self.shape[: self.rank]


def path_of(name: str) -> Path:
    """A library that `make .venv/stamps/dev` left, which installs it nowhere."""
    path = ROOT / f"build/wheel-{platform.machine()}" / name
    assert path.is_file(), f"{path} is missing. Type: make .venv/stamps/dev"
    return path


@cache
def library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(path_of("libsbn_native.so")))
    for name in ("sbn_model_load", "sbn_model_open", "sbn_context_new", "sbn_context_output"):
        getattr(found, name).restype = ctypes.c_void_p
    for name in ("sbn_last_error", "sbn_model_metadata", "sbn_isa", "sbn_version"):
        getattr(found, name).restype = ctypes.c_char_p
    for name in ("sbn_model_arena_bytes", "sbn_model_inputs", "sbn_model_outputs"):
        getattr(found, name).restype = ctypes.c_int64
    return found


@contextmanager
def kernel_set(name: str) -> Iterator[None]:
    """Models loaded inside use it."""
    assert library().sbn_set_isa(name.encode()) == 0
    try:
        yield
    finally:
        library().sbn_set_isa(b"")


class _Picture(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("orientation", ctypes.c_int32),
    )


class Model:
    """A loaded model with one context. `run` maps inputs by name to outputs by name."""

    def __init__(self, source: bytes | Path) -> None:
        self._library = library()
        self._model = self._context = None
        if isinstance(source, bytes):
            loaded = self._library.sbn_model_load(source, ctypes.c_size_t(len(source)))
        else:
            loaded = self._library.sbn_model_open(str(source).encode())
        self._model = ctypes.c_void_p(self._check(loaded))
        self._context = ctypes.c_void_p(self._check(self._library.sbn_context_new(self._model)))
        self.inputs = self._ports("input")
        self.outputs = self._ports("output")

    def __del__(self) -> None:
        if self._context:
            self._library.sbn_context_free(self._context)
        if self._model:
            self._library.sbn_model_free(self._model)

    def _check(self, pointer: int | None) -> int:
        if pointer:
            return pointer
        raise NativeError(self._library.sbn_last_error().decode())

    def _ports(self, kind: str) -> dict[str, tuple[str, list[int]]]:
        ports = {}
        for index in range(getattr(self._library, f"sbn_model_{kind}s")(self._model)):
            tensor = _Tensor()
            describe = getattr(self._library, f"sbn_model_{kind}")
            assert describe(self._model, ctypes.c_size_t(index), ctypes.byref(tensor)) == 0
            ports[tensor.name.decode()] = (_TYPES[tensor.type], tensor.sizes)
        return ports

    def metadata(self, key: str) -> str | None:
        found = self._library.sbn_model_metadata(self._model, key.encode())
        return None if found is None else found.decode()

    def arena_bytes(self, batch: int) -> int:
        found: int = self._library.sbn_model_arena_bytes(self._model, ctypes.c_int64(batch))
        if found < 0:
            raise NativeError(self._library.sbn_last_error().decode())
        return found

    def set_threads(self, threads: int) -> None:
        if self._library.sbn_context_set_threads(self._context, threads):
            raise NativeError(self._library.sbn_last_error().decode())

    def run(self, feeds: Mapping[str, NDArray[np.generic] | int]) -> dict[str, NDArray[np.generic]]:
        batch, kept = 1, []
        for index, (name, (dtype, shape)) in enumerate(self.inputs.items()):
            at, given = ctypes.c_size_t(index), feeds.get(name)
            if given is None:
                continue
            if isinstance(given, int):
                set_number = self._library.sbn_context_set_number
                assert set_number(self._context, at, ctypes.c_int64(given)) == 0
                continue
            assert len(given.shape) == len(shape)
            batch = len(given)
            assert all(size in (-1, is_) for size, is_ in zip(shape, given.shape, strict=True))
            kept.append(np.ascontiguousarray(given, dtype))
            data = kept[-1].ctypes.data_as(ctypes.c_void_p)
            assert self._library.sbn_context_set_input(self._context, at, data) == 0
        if self._library.sbn_context_run(self._context, ctypes.c_int64(batch)):
            raise NativeError(self._library.sbn_last_error().decode())
        return {name: self._output(i) for i, name in enumerate(self.outputs)}

    def fit(self, picture: NDArray[np.uint8], orientation: int, size: int) -> NDArray[np.uint8]:
        """A picture [height, width, channels] as so many bytes of pixels."""
        kept = np.ascontiguousarray(picture)
        rows, columns, channels = kept.shape
        given = _Picture(kept.ctypes.data, columns, rows, channels, orientation)
        pixels = np.empty(size, np.uint8)
        self._done(
            self._library.sbn_model_fit(
                self._model, ctypes.byref(given), _pointer(pixels), ctypes.c_size_t(size)
            )
        )
        return pixels

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """The elements of the first input for such pixels."""
        kept = np.ascontiguousarray(pixels)
        dtype, _ = next(iter(self.inputs.values()))
        made = np.empty(kept.size, dtype)
        self._done(
            self._library.sbn_model_normalise(
                self._model, _pointer(kept), _pointer(made), ctypes.c_size_t(made.nbytes)
            )
        )
        return made

    def class_name(self, index: int, size: int = 256) -> str:
        name = ctypes.create_string_buffer(size)
        at, most = ctypes.c_size_t(index), ctypes.c_size_t(size)
        self._done(self._library.sbn_model_class(self._model, at, name, most))
        return name.value.decode()

    def calibrate(self, probabilities: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
        made = probabilities.copy()
        self._done(
            self._library.sbn_model_calibrate(
                self._model, ctypes.c_int64(samples), _pointer(made), ctypes.c_size_t(made.size)
            )
        )
        return made

    def _done(self, failed: int) -> None:
        if failed:
            raise NativeError(self._library.sbn_last_error().decode())

    def _output(self, index: int) -> NDArray[np.generic]:
        tensor = _Tensor()
        data = self._check(
            self._library.sbn_context_output(
                self._context, ctypes.c_size_t(index), ctypes.byref(tensor)
            )
        )
        dtype = np.dtype(_TYPES[tensor.type])
        size = int(np.prod(tensor.sizes)) * dtype.itemsize
        return np.frombuffer(ctypes.string_at(data, size), dtype).reshape(tensor.sizes)


def _pointer(x: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.ctypes.data)
