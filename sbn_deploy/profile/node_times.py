"""What each node of a model takes, by onnxruntime's profiler."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.engines.engine import Feed
from sbn_deploy.engines.onnx import kernel_engine

# onnxruntime cuts times to whole microseconds, by half of one in the mean.
_CUT_US = 0.5
Shape = tuple[int, ...]


@dataclass(frozen=True)
class NodeTime:
    """What one node takes in a call.

    Attributes:
        node, op: its name, and its operator without the domain; both are onnxruntime's own
            for nodes that it made by fusing others.
        us: microseconds, the mean of the middle half of the calls.
        inputs, outputs: shapes as seen at run time, with the batch.
        tensor_bytes: of the tensors that it read and wrote.
        constant_bytes: of its constants, but for those that onnxruntime has rearranged.
    """

    node: str
    op: str
    us: float
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    tensor_bytes: int
    constant_bytes: int


class Profiler:
    """An exported model in onnxruntime, with each node timed.

    The profiler itself takes a microsecond or more for each node.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._engine = kernel_engine(
            path, threads=threads, profile=Path(self._folder.name, "profile"), spin=False
        )

    def run(self, feed: Feed) -> None:
        """One call with what the model takes."""
        self._engine.run(feed)

    def finish(self, warmup: int) -> list[NodeTime]:
        """The nodes in the order of execution, without the first `warmup` calls."""
        events = json.loads(Path(self._engine.session.end_profiling()).read_text())
        self._folder.cleanup()
        calls: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                node = event["name"].removesuffix("_kernel_time")
                calls[node, event["args"]["op_name"]].append(event)
        return [_node_time(*node, events[warmup:]) for node, events in calls.items()]


def _node_time(node: str, op: str, events: list[Mapping[str, Any]]) -> NodeTime:
    details = events[-1]["args"]
    return NodeTime(
        node,
        op,
        _middle_mean([event["dur"] for event in events]) + _CUT_US,
        _shapes(details.get("input_type_shape", [])),
        _shapes(details.get("output_type_shape", [])),
        int(details.get("activation_size", 0)) + int(details.get("output_size", 0)),
        int(details.get("parameter_size", 0)),
    )


def _shapes(tensors: list[dict[str, list[int]]]) -> tuple[Shape, ...]:
    return tuple(tuple(shape) for tensor in tensors for shape in tensor.values())


def _middle_mean(values: list[int]) -> float:
    """The mean of the middle half: as steady as a median, and finer than a microsecond."""
    ordered = np.sort(values)
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())
