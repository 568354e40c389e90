"""Where the time of a model goes, operator by operator."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from sbn_runtime.session import session_options


@dataclass(frozen=True)
class NodeTime:
    """The median time that one node takes in a call."""

    node: str
    op: str
    us: float


def profile(path: Path, x: NDArray[Any], *, runs: int) -> list[NodeTime]:
    """Times the nodes of an exported model on one thread, in the order of execution.

    x is what the model takes. onnxruntime's profiler takes about a microsecond
    for each node itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(1)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(runs):
            session.run(None, {session.get_inputs()[0].name: x})
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = event["name"].removesuffix("_kernel_time")
            times[node, event["args"]["op_name"]].append(event["dur"])
    return [NodeTime(node, op, float(median(taken))) for (node, op), taken in times.items()]


def by_operator(nodes: list[NodeTime]) -> list[tuple[str, int, float]]:
    """Operator, number of nodes and their microseconds, the longest first."""
    total: dict[str, float] = defaultdict(float)
    for node in nodes:
        total[node.op] += node.us
    count = Counter(node.op for node in nodes)
    ordered = sorted(total.items(), key=lambda item: -item[1])
    return [(op, count[op], us) for op, us in ordered]
