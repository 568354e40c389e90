"""A TFLite file in the interpreter of Larq Compute Engine, as a rival."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.lce.interpreter import check_installed, interpreter
from sbn_runtime.errors import ModelError

# By what results call the mode, whether float layers run in XNNPACK; either can be faster.
MODES = {"indirect": False, "indirect-xnnpack": True}


@dataclass(frozen=True)
class LceEngine:
    """A model for one image [1, H, W, C], float32 or uint8. A damaged file can end the process."""

    name: str
    threads: int
    interpreter: Any

    def adapt(self, x: NDArray[np.float32]) -> NDArray[Any]:
        expected = tuple(self.interpreter.input_shapes[0])
        # Imported files have images as LCE has them.
        last = x if x.shape == expected else np.moveaxis(x, 1, -1)
        images: NDArray[Any] = np.ascontiguousarray(last)
        if images.shape != expected:
            raise ModelError(f"the TFLite file takes {expected}, not {images.shape}")
        if self.interpreter.input_types[0] != np.uint8:
            return images
        pixels: NDArray[np.uint8] = np.rint((images + 1) * 127.5).clip(0, 255).astype(np.uint8)
        return pixels

    def run(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self.interpreter.predict([x])
        return outputs


def lce_engine(name: str, path: Path, *, threads: int, xnnpack: bool) -> LceEngine:
    """A TFLite file with LCE's indirect kernels, its fastest on x86.

    Args:
        xnnpack: whether float layers run in XNNPACK; either can be faster.

    Raises:
        MissingDependencyError: larq-compute-engine is not installed.
    """
    check_installed()
    made = interpreter(path.read_bytes(), "indirect", threads=threads, xnnpack=xnnpack)
    return LceEngine(name, threads, made)


def translated(model: Path) -> bytes:
    """An exported ONNX file as a TFLite file.

    Raises:
        UnsupportedLayerError: LCE has no operators for the network.
    """
    # Only here: files that are at hand run without these packages.
    from sbn_converters.onnx.inspect import load_model
    from sbn_converters.tflite.from_onnx import translate
    from sbn_converters.tflite.write import write

    return write(translate(load_model(model)))
