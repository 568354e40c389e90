"""Damaged files of one operator each in the op library: each is answered, or refused.

`python -m tests.soak.sanitized python -m tests.soak.operators 200` runs 200 of them under the
sanitizers, which end the process at the first fault; the file that did it stays in
build/sanitized/last.onnx.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sbn_converters import ops
from sbn_runtime import library_path

from ..runtime.one_node import model
from ..runtime.valid_nodes import Node, nodes
from .sanitized import BUILD, VARIABLE

_NUMBERS = [
    -(1 << 63),
    -(1 << 31),
    -1,
    0,
    1,
    2,
    63,
    64,
    65,
    1 << 15,
    1 << 20,
    1 << 31,
    (1 << 63) - 1,
]


def damaged(rng: np.random.Generator, proto: onnx.ModelProto) -> bytes:
    """The file with one to three changes: attributes, dimensions, types, data, or bytes."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(0, 5)
        attributes, tensors = proto.graph.node[0].attribute, proto.graph.initializer
        if kind == 0 and attributes:
            attribute = attributes[rng.integers(len(attributes))]
            number = _NUMBERS[rng.integers(len(_NUMBERS))]
            if attribute.ints:
                attribute.ints[rng.integers(len(attribute.ints))] = number
            else:
                attribute.i = number
        elif kind in (1, 2, 3) and tensors:
            _damage(rng, tensors[rng.integers(len(tensors))], kind)
        elif kind == 4:
            data = bytearray(proto.SerializeToString())
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            return bytes(data)
    return proto.SerializeToString()


def _damage(rng: np.random.Generator, tensor: Any, kind: int) -> None:
    if kind == 1 and tensor.dims:
        tensor.dims[rng.integers(len(tensor.dims))] = int(rng.choice([0, 1, 2, 5, 64, 1 << 40, -1]))
    elif kind == 2:
        tensor.data_type = int(rng.integers(0, 17))
    else:
        tensor.raw_data = bytes(rng.permutation(list(tensor.raw_data)).astype(np.uint8))


def answer(data: bytes, node: Node) -> str:
    """Runs a file; what came of it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(os.environ.get(VARIABLE, str(library_path())))
    try:
        session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
        names = {value.name for value in session.get_inputs()}
        session.run(None, {key: value for key, value in node.inputs.items() if key in names})
    except Exception as error:  # onnxruntime's errors have no common base
        return "refused by the library" if "sbn." in str(error) else "refused by onnxruntime"
    return "answered"


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.operators", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}

    @seed(options.seed)
    @settings(
        max_examples=options.count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(node=nodes(list(ops.BY_NAME)), number=st.integers(0, 2**32 - 1), constant=st.booleans())
    def run(node: Node, number: int, constant: bool) -> None:
        constants = tuple(key for key in node.inputs if key not in ("X", "R")) if constant else ()
        proto = model(node.name, node.inputs, node.attributes, constants=constants, functions=False)
        data = damaged(np.random.default_rng(number), proto)
        Path(BUILD, "last.onnx").write_bytes(data)
        result = answer(data, node)
        counts[result] = counts.get(result, 0) + 1

    run()
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
