"""A larq Keras model as TFLite, through Larq Compute Engine's own converter.

    python -m sbn_deploy.importing.keras MODEL -o FILE

It needs the packages of the extra `tflite`. TensorFlow is slow to start and
cannot be unloaded: run it in a process of its own, as `sbn import` does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from sbn_runtime.errors import MissingDependencyError, ModelError
from sbn_runtime.files import write_atomically

# How HDF5 files begin (.h5) and ZIP files (.keras).
_BEGINNINGS = (b"\x89HDF\r\n\x1a\n", b"PK\x03\x04")
_PACKAGES = {
    "tensorflow": "tensorflow",
    "tf_keras": "tf-keras",
    "larq": "larq",
    "larq_compute_engine": "larq-compute-engine",
}


def is_keras(data: bytes) -> bool:
    """Whether the bytes may be those of a Keras model, as far as their beginning says."""
    return data.startswith(_BEGINNINGS)


def convert(source: Path, output: Path) -> None:
    """Writes the TFLite file of a Keras model, in a process of its own.

    Raises MissingDependencyError if a package is missing, ModelError if the file
    cannot be loaded or converted.
    """
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingDependencyError(
            f"importing a Keras model needs {', '.join(missing)}: pip install 'sbn-deploy[tflite]';"
            " or convert it elsewhere with larq_compute_engine.convert_keras_model, and import"
            " the TFLite file"
        )
    # larq builds on Keras 2.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "sbn_deploy.importing.keras", str(source), "-o", str(output)],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise ModelError(f"{source}: Larq Compute Engine cannot convert it: {lines[-1]}")


def main() -> None:
    """Converts one file."""
    parser = argparse.ArgumentParser(description="Converts a larq Keras model to TFLite.")
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    import larq  # noqa: F401 (its layers are known to Keras once it is imported)
    import larq_compute_engine
    import tensorflow as tf

    model = tf.keras.models.load_model(options.model, compile=False)
    write_atomically(options.output, larq_compute_engine.convert_keras_model(model))


if __name__ == "__main__":
    main()
