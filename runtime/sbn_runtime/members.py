"""The members of an ensemble a few at a time.

A file computes all of its members at once, and engines compute all of a graph. So for some
of them the graph is cut to what leads to these, without the onnx package: in the protobuf
encoding, nodes and constants are left out, and the members' own values become the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .engines import Engine, Failure
from .errors import InputError, ModelError
from .feeds import Feeds
from .modelfile import encoded_field, message_fields

BLOCK = 4
# Field numbers in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 4, 5
_TENSOR_NAME, _VALUE_NAME = 8, 1
_ATTRIBUTE_GRAPHS = (6, 11)  # g and graphs of AttributeProto


class Members:
    """Computes some of a file's members.

    What is loaded is `BLOCK` members at a time, and single ones at the ends of other groups, when
    they are first needed.

    Args:
        path: the file.
        output: the output [M, N, K] that joins what the members answer.
        load: loads a model from its bytes. Raises Failure.
        content: of the file, where it is not at that path.

    Attributes:
        count: how many members the file has.

    Raises:
        InputError: the file does not join its members' answers [1, N, K] to that output.
        ModelError: the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        output: str,
        load: Callable[[bytes], Engine],
        content: bytes | None = None,
    ) -> None:
        self._path, self._load = path, load
        try:
            self._model = _Model(path.read_bytes() if content is None else content)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from error
        except (ValueError, IndexError) as error:
            raise ModelError(f"{path}: not an ONNX model, or truncated; export it again") from error
        self._names = self._model.joined(output)
        self.count = len(self._names)
        if self.count < 2:
            raise InputError(
                f"{path}: does not keep its members apart, so single members cannot be run;"
                " export it again"
            )
        self._loaded: dict[tuple[int, int], Engine] = {}

    def load(self) -> None:
        """Loads all blocks. Raises ModelError."""
        for first, count in self._blocks(0, self.count):
            self._engine(first, count)

    def run(self, feeds: Feeds, first: int, count: int) -> NDArray[Any]:
        """What members `first` to `first + count - 1` answer, [count, N, K]. Raises ModelError."""
        found: list[NDArray[Any]] = []
        for begin, size in self._blocks(first, count):
            engine = self._engine(begin, size)
            try:
                found += engine.run(self._names[begin : begin + size], feeds)
            except Failure as error:
                raise self._failed(begin, size, error) from error
        if {answer.shape for answer in found} != {(1, *found[0].shape[1:])}:
            shapes = ", ".join(str(list(answer.shape)) for answer in found)
            raise ModelError(
                f"{self._path}: its members have outputs of the shapes {shapes}, not each [1, N,"
                " K]; export the model again"
            )
        return np.concatenate(found)

    def _blocks(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """The groups, first and size, that cover some members."""
        at, end = first, first + count
        while at < end:
            size = min(BLOCK, self.count - at) if at % BLOCK == 0 else 1
            size = size if at + size <= end else 1
            yield at, size
            at += size

    def _engine(self, first: int, count: int) -> Engine:
        engine = self._loaded.get((first, count))
        if engine is None:
            try:
                engine = self._load(self._model.cut_to(self._names[first : first + count]))
            except Failure as error:
                raise self._failed(first, count, error) from error
            self._loaded[first, count] = engine
        return engine

    def _failed(self, first: int, count: int, error: Failure) -> ModelError:
        return ModelError(
            f"{self._path}: failed on members {first} to {first + count - 1}: {error}"
        )


class _Model:
    """An ONNX file as protobuf. Raises ValueError or IndexError for what is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields = self._spans(0, len(data))
        self._graph = [
            span
            for field in self._fields
            if field.number == _MODEL_GRAPH
            for span in self._spans(field.begin, field.end)
        ]
        self._nodes = [self._node(span) for span in self._graph if span.number == _GRAPH_NODE]

    def joined(self, output: str) -> list[str]:
        """What a Concat that makes this output joins; empty where another node makes it.

        Empty, too, where a node has a graph of its own: what it takes of the graph around it is
        not among its inputs.
        """
        if any(node.nested for node in self._nodes):
            return []
        for node in self._nodes:
            if node.outputs == [output] and node.op == "Concat":
                return node.inputs
        return []

    def cut_to(self, names: Collection[str]) -> bytes:
        """The model with these values as its outputs, and only what leads to them."""
        needed, kept = set(names), set()
        # Nodes stand in the order of execution.
        for node in reversed(self._nodes):
            if not needed.isdisjoint(node.outputs):
                kept.add(node.span)
                needed.update(node.inputs)
        graph = [
            self._data[span.start : span.end]
            for span in self._graph
            if not (
                (span.number == _GRAPH_NODE and span not in kept)
                or (
                    span.number == _GRAPH_INITIALIZER
                    and self._text(span, _TENSOR_NAME) not in needed
                )
                or span.number == _GRAPH_OUTPUT
            )
        ]
        graph += [
            encoded_field(_GRAPH_OUTPUT, encoded_field(_VALUE_NAME, name.encode()))
            for name in names
        ]
        others = [
            self._data[field.start : field.end]
            for field in self._fields
            if field.number != _MODEL_GRAPH
        ]
        return b"".join([*others, encoded_field(_MODEL_GRAPH, b"".join(graph))])

    def _spans(self, begin: int, end: int) -> list[_Span]:
        """The fields of a message, which follow each other without a gap."""
        found, start = [], begin
        for number, first, last in message_fields(self._data, end, begin):
            found.append(_Span(number, start, first, last))
            start = last
        return found

    def _node(self, node: _Span) -> _Node:
        texts: dict[int, list[str]] = {}
        nested = False
        for number, begin, end in message_fields(self._data, node.end, node.begin):
            if number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OP):
                texts.setdefault(number, []).append(self._data[begin:end].decode())
            elif number == _NODE_ATTRIBUTE:
                inner = message_fields(self._data, end, begin)
                nested |= any(field in _ATTRIBUTE_GRAPHS for field, *_ in inner)
        return _Node(
            node,
            texts.get(_NODE_INPUT, []),
            texts.get(_NODE_OUTPUT, []),
            "".join(texts.get(_NODE_OP, [])),
            nested,
        )

    def _text(self, message: _Span, wanted: int) -> str:
        for number, begin, end in message_fields(self._data, message.end, message.begin):
            if number == wanted:
                return self._data[begin:end].decode()
        return ""


class _Span(NamedTuple):
    """A field in the file: all of it from `start`, its content from `begin`."""

    number: int
    start: int
    begin: int
    end: int


class _Node(NamedTuple):
    span: _Span
    inputs: list[str]
    outputs: list[str]
    op: str
    nested: bool
