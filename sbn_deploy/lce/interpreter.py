"""The interpreter of Larq Compute Engine, without TensorFlow.

The interpreter is one extension module, which works without TensorFlow; the
package that holds it imports TensorFlow. So the module is loaded from its file.

It does not check what it reads: a damaged file can end the process. Files from
elsewhere run in a process of their own, see `process`.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal, get_args

from sbn_runtime.errors import MissingDependencyError

MODULE = "interpreter_wrapper_lite"

# "optimized" is the default of LCE, "indirect" its fastest on x86.
Kernels = Literal["optimized", "indirect", "reference"]
KERNELS: tuple[Kernels, ...] = get_args(Kernels)


def interpreter(data: bytes, kernels: Kernels, *, threads: int = 1, xnnpack: bool = False) -> Any:
    """LCE's interpreter with a TFLite file, with memory for its tensors.

    Args:
        kernels: those of binary convolutions.
        xnnpack: whether float layers run in XNNPACK.

    Raises:
        MissingDependencyError: larq-compute-engine is not installed.
        RuntimeError: LCE refuses the file.
    """
    return load().LiteInterpreter(
        data, threads, kernels == "reference", kernels == "indirect", xnnpack
    )


def is_installed() -> bool:
    """Whether the interpreter is there."""
    return find_spec("larq_compute_engine") is not None


def check_installed() -> None:
    """Raises MissingDependencyError, with what to install, if the interpreter is not there."""
    if not is_installed():
        raise MissingDependencyError(
            "larq-compute-engine is not installed: pip install 'sbn-deploy[tflite]'"
        )


@cache
def load() -> Any:
    """The extension module. Raises MissingDependencyError."""
    check_installed()
    package = find_spec("larq_compute_engine")
    assert package is not None
    (folder,) = package.submodule_search_locations or [""]
    path = Path(folder, "tflite", "python", f"{MODULE}.so")
    # The module may be loaded only once in a process.
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
