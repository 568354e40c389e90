"""What computes a model: a table of engines, with one name each.

The names are those of `Session(engine=…)`, of `--engine` and of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ..errors import InputError, MissingDependencyError
from ..feeds import Feeds, TensorInfo

SBN, NATIVE, ONNXRUNTIME = "sbn", "native", "onnxruntime"


class Failure(Exception):
    """Why an engine cannot load a model, or not run it: one line."""


class Engine(Protocol):
    """A loaded model. Several threads may run it at once.

    Attributes:
        inputs, outputs: what the file declares.
        controls: names of further inputs, which are numbers with a default: int64 [].
        metadata: the file's text under `METADATA_KEY`; None where it has none.
    """

    @property
    def inputs(self) -> list[TensorInfo]: ...
    @property
    def outputs(self) -> list[TensorInfo]: ...
    @property
    def controls(self) -> frozenset[str]: ...
    @property
    def metadata(self) -> str | None: ...

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """These outputs, of all inputs and any of the controls. Raises Failure."""


class Load(Protocol):
    """Loads a file, or its content."""

    def __call__(self, model: Path | bytes, *, threads: int | None, spin: bool) -> Engine:
        """Raises Failure, and InputError and IsaError as `Session` does.

        threads, spin: as of `Session`.
        """


@dataclass(frozen=True)
class Row:
    """An engine in the table.

    Attributes:
        name: what it is called everywhere.
        text: what it is.
        package: what it needs besides numpy; "" for nothing.
        load: loads a model.
    """

    name: str
    text: str
    package: str
    load: Load


def _sbn(model: Path | bytes, *, threads: int | None, spin: bool) -> Engine:
    from .onnxruntime import InOnnxruntime, session_options

    return InOnnxruntime(model, session_options(threads, spin=spin))


def _native(model: Path | bytes, *, threads: int | None, spin: bool) -> Engine:
    from .native import Native

    return Native(model, threads=threads)


def _onnxruntime(model: Path | bytes, *, threads: int | None, spin: bool) -> Engine:
    from .onnxruntime import InOnnxruntime, stock_options

    return InOnnxruntime(model, stock_options(threads, spin=spin))


ENGINES = {
    row.name: row
    for row in (
        Row(SBN, "onnxruntime with our operators", "onnxruntime", _sbn),
        Row(NATIVE, "our own runtime, which needs numpy only", "", _native),
        Row(
            ONNXRUNTIME,
            "onnxruntime alone, by the definitions of our operators in the file: slow",
            "onnxruntime",
            _onnxruntime,
        ),
    )
}


def find(name: str | None) -> Row:
    """An engine of the table; for None the fastest that is installed: sbn, or else native.

    Raises:
        InputError: there is no such engine.
        MissingDependencyError: it needs a package that is not installed.
    """
    if name is None:
        return ENGINES[SBN if _is_installed(SBN) else NATIVE]
    if not isinstance(name, str) or name not in ENGINES:
        raise InputError(f"engine {name!r}: no such engine; choose one of {', '.join(ENGINES)}")
    if not _is_installed(name):
        package = ENGINES[name].package
        raise MissingDependencyError(
            f"engine {name} needs {package}, which is not installed: pip install {package}, or use"
            f" engine {NATIVE}"
        )
    return ENGINES[name]


def _is_installed(name: str) -> bool:
    package = ENGINES[name].package
    return not package or find_spec(package) is not None
