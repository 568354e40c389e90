"""The members of an ensemble a few at a time.

A file computes all of its members at once, and onnxruntime computes all of a graph. So for some
of them the graph is cut to what leads to these, without the onnx package: in the protobuf
encoding, nodes and constants are left out, and the members' own values become the outputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .errors import InputError, ModelError
from .modelfile import encoded_field, message_fields
from .shutdown import call

# Field numbers in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 4, 5
_TENSOR_NAME, _VALUE_NAME = 8, 1
_ATTRIBUTE_GRAPHS = (6, 11)  # g and graphs of AttributeProto


class Members:
    """Computes some of a file's members; sessions are made when they are first needed.

    Args:
        path: the file.
        output: the output [M, N, K] that joins what the members answer.
        options: of the sessions.

    Attributes:
        count: how many members the file has.

    Raises:
        InputError: the file does not join its members' answers [1, N, K] to that output.
        ModelError: the file cannot be read.
    """

    def __init__(self, path: Path, output: str, options: onnxruntime.SessionOptions) -> None:
        self._path, self._options = path, options
        try:
            self._model = _Model(path.read_bytes())
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from error
        except (ValueError, IndexError) as error:
            raise ModelError(f"{path}: not an ONNX model, or truncated; export it again") from error
        self._names = self._model.joined(output)
        self.count = len(self._names)
        if self.count < 2:
            raise InputError(
                f"{path}: does not keep its members apart, so that some of them could be computed"
                " alone; export it again"
            )
        self._sessions: dict[tuple[int, int], onnxruntime.InferenceSession] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]], first: int, count: int) -> NDArray[Any]:
        """What members `first` to `first + count - 1` answer, [count, N, K]. Raises ModelError."""
        names = self._names[first : first + count]
        session = self._sessions.get((first, count))
        try:
            if session is None:
                session = call(
                    onnxruntime.InferenceSession,
                    self._model.cut_to(names),
                    self._options,
                    providers=["CPUExecutionProvider"],
                    enable_fallback=0,
                )
                self._sessions[first, count] = session
            answers: list[NDArray[Any]] = call(session.run, names, dict(feeds))
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{self._path}: failed on members {first} to {first + count - 1}: {reason}"
            ) from error
        return np.concatenate(answers)


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
        """What a Concat that makes this output joins; empty where another node makes it."""
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
        for number, begin, end in message_fields(self._data, node.end, node.begin):
            if number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OP):
                texts.setdefault(number, []).append(self._data[begin:end].decode())
            elif number == _NODE_ATTRIBUTE:
                for inner, *_ in message_fields(self._data, end, begin):
                    if inner in _ATTRIBUTE_GRAPHS:
                        # What it takes of the graph around it is not among its inputs.
                        raise ValueError("a node with a graph of its own")
        return _Node(
            node,
            texts.get(_NODE_INPUT, []),
            texts.get(_NODE_OUTPUT, []),
            "".join(texts.get(_NODE_OP, [])),
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
