"""A TFLite file in the interpreter of Larq Compute Engine, as a rival.

The interpreter is one extension module, which works without TensorFlow; the
package that holds it imports TensorFlow. So the module is loaded from its file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import MissingDependencyError, ModelError

MODULE = "interpreter_wrapper_lite"


@dataclass(frozen=True)
class LceEngine:
    """A model for one image, float32 [1, H, W, C]. A damaged file can end the process."""

    name: str
    threads: int
    interpreter: Any

    def adapt(self, x: NDArray[np.float32]) -> NDArray[Any]:
        images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        expected = tuple(self.interpreter.input_shapes[0])
        if images.shape != expected:
            raise ModelError(f"the TFLite file takes {expected}, not {images.shape}")
        return images

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
    interpreter = _extension().LiteInterpreter(
        path.read_bytes(),
        threads,
        False,  # not the reference kernels
        True,  # the indirect kernels
        xnnpack,
    )
    return LceEngine(name, threads, interpreter)


def is_installed() -> bool:
    """Whether the interpreter is there."""
    return find_spec("larq_compute_engine") is not None


@cache
def _extension() -> Any:
    package = find_spec("larq_compute_engine")
    if package is None or not package.submodule_search_locations:
        raise MissingDependencyError(
            "larq-compute-engine is not installed: pip install 'sbn-deploy[tflite]'"
        )
    path = Path(package.submodule_search_locations[0], "tflite", "python", f"{MODULE}.so")
    # The module may be loaded once in a process, whoever asks for it.
    name = f"larq_compute_engine.tflite.python.{MODULE}"
    if name in sys.modules:
        return sys.modules[name]
    loader = ExtensionFileLoader(MODULE, str(path))
    spec = spec_from_file_location(MODULE, path, loader=loader)
    if spec is None:
        raise MissingDependencyError(f"{path}: cannot be loaded; reinstall larq-compute-engine")
    module = module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module
