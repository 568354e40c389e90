"""TFLite files in the interpreter of Larq Compute Engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.engines.engine import Feed
from sbn_deploy.engines.table import LCE
from sbn_deploy.lce.interpreter import interpreter
from sbn_runtime import TensorInfo

# By what results call the mode, whether float layers run in XNNPACK; either can be faster.
MODES = {"indirect": False, "indirect-xnnpack": True}


class LceEngine:
    """A model for one sample at a time. A damaged file can end the process.

    Its kernels are LCE's indirect ones, the fastest on x86.

    Args:
        path: the file.
        xnnpack: whether float layers run in XNNPACK.

    Raises:
        MissingDependencyError: larq-compute-engine is not installed.
    """

    def __init__(self, path: Path, *, threads: int, xnnpack: bool, name: str = LCE) -> None:
        self.name, self.threads = name, threads
        self._interpreter = interpreter(
            path.read_bytes(), "indirect", threads=threads, xnnpack=xnnpack
        )
        made = self._interpreter
        self.inputs: Sequence[TensorInfo] = [
            TensorInfo(f"input{index}", np.dtype(dtype).name, tuple(shape))
            for index, (dtype, shape) in enumerate(
                zip(made.input_types, made.input_shapes, strict=True)
            )
        ]

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        outputs = self._interpreter.predict([feed[node.name] for node in self.inputs])
        return {f"output{index}": output for index, output in enumerate(outputs)}


def translated(model: Path) -> bytes:
    """An exported ONNX file as a TFLite file.

    Raises:
        UnsupportedLayerError: LCE has no operators for the network.
    """
    # Files that are there already run without these packages.
    from sbn_converters.onnx.inspect import load_model
    from sbn_converters.tflite.from_onnx import translate
    from sbn_converters.tflite.write import write

    return write(translate(load_model(model)))
