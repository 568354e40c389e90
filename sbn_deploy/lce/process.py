"""LCE's interpreter in a process of its own, so that a bad file ends that process only."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_converters.tflite.read import read
from sbn_runtime.errors import InputError, ModelError

from .interpreter import Kernels, check_installed
from .worker import REFUSED

# For all samples of a call; whole networks take well below a second each.
TIME_LIMIT_S = 600


def run_lce(
    model: Path | bytes,
    inputs: NDArray[Any],
    *,
    kernels: Kernels = "optimized",
    threads: int = 1,
    xnnpack: bool = False,
    name: str = "",
    time_limit_s: float = TIME_LIMIT_S,
) -> list[NDArray[Any]]:
    """Runs a TFLite file on each sample; the file may come from anywhere.

    Args:
        model: a file, or its contents. It has one input, for one sample.
        inputs: samples of the file's dtype, [N, ...] for an input [1, ...].
        name: what errors call the file; unless given, its path.

    Returns:
        The outputs, each [N, *shape] for an output of that shape.

    Raises:
        MissingDependencyError: larq-compute-engine is not installed.
        ModelError: the file is damaged; or LCE refuses it, crashes or hangs on it.
        InputError: the samples do not fit the file's input.
    """
    check_installed()
    data = model if isinstance(model, bytes) else model.read_bytes()
    name = name or (str(model) if isinstance(model, Path) else "the TFLite model")
    _check_input(data, inputs, name)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, file) for file in ("model.tflite", "inputs.npy", "outputs.npz")]
        files[0].write_bytes(data)
        np.save(files[1], inputs)
        command = [sys.executable, "-m", f"{__package__}.worker", *map(str, files)]
        command += ["--kernels", kernels, "--threads", str(threads)]
        if xnnpack:
            command.append("--xnnpack")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=time_limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(
                f"{name}: LCE did not finish within {time_limit_s:g} s; give fewer inputs"
            ) from error
        if done.returncode:
            raise ModelError(f"{name}: {_reason(done.returncode, done.stderr)}")
        with np.load(files[2]) as outputs:
            return [outputs[str(i)] for i in range(len(outputs.files))]


def _check_input(data: bytes, inputs: NDArray[Any], name: str) -> None:
    """Reads the file first: the errors are clearer than those of LCE."""
    model = read(data, name)
    if len(model.inputs) != 1:
        raise ModelError(f"{name} takes {len(model.inputs)} inputs; only one can be given")
    wanted = model.tensors[model.inputs[0]]
    if wanted.shape[:1] != (1,):
        raise ModelError(f"{name} takes {list(wanted.shape)}; it must take one sample at a time")
    if inputs.shape[1:] != wanted.shape[1:] or inputs.dtype != wanted.dtype or not len(inputs):
        raise InputError(
            f"{name} takes {wanted.dtype} [N, {', '.join(map(str, wanted.shape[1:]))}],"
            f" not {inputs.dtype} {list(inputs.shape)}"
        )


def _reason(status: int, stderr: str) -> str:
    """Why the process failed, in one line."""
    if status < 0:
        return f"LCE crashed on this file ({signal.Signals(-status).name}); it must be damaged"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if status != REFUSED:
        return f"LCE's interpreter does not run here: {' '.join(lines[-1:])}"
    said = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"LCE refuses this file: {' '.join(said or lines[-1:])}"
