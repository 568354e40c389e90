"""Models in libsbn_native, our own runtime; its functions are those of sbn.h."""

from __future__ import annotations

import ctypes
import math
import os
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..feeds import Feeds, TensorInfo
from ..modelfile import METADATA_KEY, axis_names, constant_names
from ..native import runtime, select_isa
from ..shutdown import call
from ..system import core_count, default_threads
from ..threads import check_threads
from . import Failure

# By ONNX's number of the type.
_DTYPES = {
    number: np.dtype(name)
    for number, name in (
        *((1, "float32"), (2, "uint8"), (3, "int8"), (5, "int16")),
        *((6, "int32"), (7, "int64"), (9, "bool"), (13, "uint64")),
    )
}
_OPEN = -1


class _Tensor(ctypes.Structure):
    """sbn_tensor"""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * 8),
    )


@dataclass(frozen=True)
class _Port:
    """An input or output; its first size is `_OPEN` where it is left open. `number`: int64 []."""

    index: int
    name: str
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    number: bool

    def takes(self, x: NDArray[Any]) -> bool:
        return (
            x.dtype == self.dtype
            and x.shape[1:] == self.sizes[1:]
            and (x.shape[:1] == self.sizes[:1] or (x.ndim > 0 and self.sizes[:1] == (_OPEN,)))
        )


class _Seen(NamedTuple):
    """An output's memory, and an array that is there."""

    at: int
    view: NDArray[Any]


@dataclass
class _Context:
    """A context of the library, with its outputs by their indices.

    To see them as arrays takes longer than a small layer. Their sizes depend on the batch and on
    numbers alone: while these stay, so do the arrays, at the same place.
    """

    pointer: int
    sizes: tuple[int, dict[int, int]] = (0, {})
    outputs: dict[int, _Seen] = field(default_factory=dict)

    def ran(self, batch: int, numbers: dict[int, int]) -> None:
        """`numbers` by their inputs' indices."""
        sizes = (batch, numbers)
        if sizes != self.sizes:
            self.sizes = sizes
            self.outputs.clear()


class Native:
    """A model in libsbn_native; see `Engine`.

    A run borrows a context, which holds the memory of one, so that threads need not wait for each
    other. There are as many contexts as threads have run the model at once, each with `threads`.
    """

    def __init__(self, model: Path | bytes, *, threads: int | None = None) -> None:
        self._threads = _count(threads)
        select_isa()
        try:
            content = model if isinstance(model, bytes) else model.read_bytes()
        except OSError as error:
            raise Failure(error.strerror or str(error)) from error
        self._library = _library()
        self._model: int | None = call(self._library.sbn_model_load, content, len(content))
        if not self._model:
            raise Failure(f"{self._failure()} (engine native; engine sbn has every operator)")
        self._contexts: list[int] = []
        # Not at the end of a program, when other threads may still compute.
        weakref.finalize(self, _release, self._library, self._model, self._contexts).atexit = False
        try:
            self._inputs = {port.name: port for port in self._ports("input")}
            self._outputs = {port.name: port for port in self._ports("output")}
            said = self._library.sbn_model_metadata(self._model, METADATA_KEY.encode())
            self.metadata = None if said is None else bytes(said).decode()
            self._numbers = frozenset(name for name, port in self._inputs.items() if port.number)
            axes = axis_names(content)
            self.controls = self._numbers and self._numbers.intersection(constant_names(content))
        except (ValueError, LookupError) as error:
            raise Failure(f"its inputs or outputs are damaged: {error}") from error
        self.inputs = [
            _described(port, axes)
            for name, port in self._inputs.items()
            if name not in self.controls
        ]
        self.outputs = [_described(port, axes) for port in self._outputs.values()]
        self._required = frozenset(info.name for info in self.inputs)
        # By which numbers were set: a context keeps them.
        self._idle: dict[frozenset[str], list[_Context]] = {}
        _loaded.add(self)

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        idle = self._idle.setdefault(self._numbers.intersection(feeds), [])
        try:
            context = idle.pop()
        except IndexError:
            context = self._new_context()
        try:
            # The arrays must live while the context runs: it reads them where they are.
            arrays = self._checked(feeds)
            batch, numbers = _batch(arrays), {}
            for port, array in arrays:
                if port.number:
                    number = numbers[port.index] = int(array)
                    self._library.sbn_context_set_number(context.pointer, port.index, number)
                else:
                    self._library.sbn_context_set_input(
                        context.pointer, port.index, _address(array)
                    )
            if call(self._library.sbn_context_run, context.pointer, batch):
                raise self._failure()
            context.ran(batch, numbers)
            return [self._output(context, self._outputs[name]) for name in names]
        finally:
            idle.append(context)

    def after_fork(self) -> None:
        """Leaves the contexts to the parent: their threads are not in a child, nor can they end."""
        self._contexts.clear()
        self._idle.clear()

    def _new_context(self) -> _Context:
        pointer = self._made(self._library.sbn_context_new(self._model))
        self._contexts.append(pointer)
        if self._library.sbn_context_set_threads(pointer, self._threads):
            raise self._failure()
        return _Context(pointer)

    def _checked(self, feeds: Feeds) -> list[tuple[_Port, NDArray[Any]]]:
        """What is given, as the library reads it: it trusts sizes and types."""
        found = []
        for name in self._required.difference(feeds):
            raise Failure(f"input {name!r} was not given")
        for name, x in feeds.items():
            port = self._inputs[name]
            if not port.takes(x):
                raise Failure(f"input {name!r} is not {port.dtype} of shape {list(port.sizes)}")
            if not (x.flags.c_contiguous and x.flags.aligned):
                x = np.require(x, requirements=("C", "A"))
            found.append((port, x))
        return found

    def _output(self, context: _Context, port: _Port) -> NDArray[Any]:
        """A copy: the context's own changes with its next run."""
        output = self._library.sbn_context_output
        at = self._made(output(context.pointer, port.index, None))
        seen = context.outputs.get(port.index)
        if seen is None or seen.at != at:
            tensor = _Tensor()
            output(context.pointer, port.index, ctypes.byref(tensor))
            seen = _Seen(at, _view(at, port.dtype, tensor.shape[: tensor.rank]))
            context.outputs[port.index] = seen
        return seen.view.copy()

    def _ports(self, kind: str) -> Iterable[_Port]:
        count = getattr(self._library, f"sbn_model_{kind}s")(self._model)
        for index in range(count):
            tensor = _Tensor()
            getattr(self._library, f"sbn_model_{kind}")(self._model, index, ctypes.byref(tensor))
            sizes, dtype = tuple(tensor.shape[: tensor.rank]), _DTYPES[tensor.type]
            number = dtype == np.int64 and not sizes
            yield _Port(index, tensor.name.decode(), dtype, sizes, number)

    def _made(self, pointer: int | None) -> int:
        if not pointer:
            raise self._failure()
        return pointer

    def _failure(self) -> Failure:
        return Failure(bytes(self._library.sbn_last_error()).decode(errors="replace"))


_loaded: weakref.WeakSet[Native] = weakref.WeakSet()


def _after_fork() -> None:
    for native in list(_loaded):
        native.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _address(x: Any) -> int:
    """Where an array's elements are: what `x.ctypes.data` says, in a quarter of the time."""
    if x.flags.writeable and x.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(x))
    data: tuple[int, bool] = x.__array_interface__["data"]
    return data[0]


def _view(at: int, dtype: np.dtype[Any], shape: list[int]) -> NDArray[Any]:
    """An array in memory that is not Python's."""
    count = math.prod(shape) * dtype.itemsize
    memory: Any = (ctypes.c_char * count).from_address(at)
    return np.ndarray(shape, dtype, memory)


def _count(threads: int | None) -> int:
    """How many threads share a call. Raises InputError as `check_threads` does."""
    if threads is None:
        return default_threads() or core_count()
    return check_threads(threads)


def _batch(arrays: Sequence[tuple[_Port, NDArray[Any]]]) -> int:
    """How many images there are; 1 where no input leaves that open."""
    sizes = {len(x) for port, x in arrays if port.sizes[:1] == (_OPEN,)} or {1}
    if len(sizes) > 1:
        raise Failure(f"inputs of different batches, {', '.join(map(str, sorted(sizes)))}")
    return sizes.pop()


def _described(port: _Port, axes: dict[str, list[str | None]]) -> TensorInfo:
    names = axes.get(port.name, [])
    names += [None] * (len(port.sizes) - len(names))
    shape = (name if size == _OPEN else size for size, name in zip(port.sizes, names, strict=False))
    return TensorInfo(port.name, port.dtype.name, tuple(shape))


def _release(library: ctypes.CDLL, model: int, contexts: list[int]) -> None:
    for context in contexts:
        library.sbn_context_free(context)
    library.sbn_model_free(model)


@cache
def _library() -> ctypes.CDLL:
    """The library with the types of its functions."""
    library = runtime()
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    failed, number = ctypes.c_int, ctypes.c_int64
    tensor = ctypes.POINTER(_Tensor)
    types: dict[str, tuple[Any, ...]] = {
        "sbn_last_error": (text,),
        "sbn_model_load": (pointer, text, size),
        "sbn_model_free": (None, pointer),
        "sbn_model_inputs": (size, pointer),
        "sbn_model_outputs": (size, pointer),
        "sbn_model_input": (failed, pointer, size, tensor),
        "sbn_model_output": (failed, pointer, size, tensor),
        "sbn_model_metadata": (text, pointer, text),
        "sbn_context_new": (pointer, pointer),
        "sbn_context_free": (None, pointer),
        "sbn_context_set_threads": (failed, pointer, failed),
        "sbn_context_set_input": (failed, pointer, size, pointer),
        "sbn_context_set_number": (failed, pointer, size, number),
        "sbn_context_run": (failed, pointer, number),
        "sbn_context_output": (pointer, pointer, size, tensor),
    }
    for name, (result, *arguments) in types.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
