"""Networks of larq_zoo with random weights, through the converter of Larq Compute Engine.

    python -m tests.tools.lce_zoo NAME -o FILE

Files that this package did not write: test material for reading TFLite, and
rows of the benchmark.

larq_zoo is no part of an extra: it and zookeeper declare protobuf < 3.21, which
no TensorFlow of today accepts, yet they work with a newer one. To the extra
`tflite` add

    pip install -c constraints.txt --no-deps larq-zoo zookeeper typeguard click
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from sbn_runtime.files import write_atomically

from .lce_models import randomise_batch_norms

NETWORKS = (
    "BiRealNet",
    "BinaryAlexNet",
    "BinaryDenseNet28",
    "BinaryResNetE18",
    "MeliusNet22",
    "QuickNet",
    "QuickNetLarge",
    "QuickNetSmall",
    "RealToBinaryNet",
    "XNORNet",
)
"""As larq_zoo calls them. The converter (0.16.0) crashes on its one other kind, DoReFaNet."""

SEED = 1


def convert(name: str) -> bytes:
    """The TFLite file of a network, for one image [1, 224, 224, 3] float32."""
    import larq_compute_engine

    model: bytes = larq_compute_engine.convert_keras_model(build(name))
    return model


def build(name: str) -> Any:
    """The Keras model, untrained, with batch-norms that fit random images."""
    # Of the data sets that larq_zoo imports none is used.
    sys.modules.setdefault("tensorflow_datasets", MagicMock())
    import larq_zoo
    import tensorflow as tf

    tf.keras.utils.set_random_seed(SEED)
    package = larq_zoo.sota if hasattr(larq_zoo.sota, name) else larq_zoo.literature
    model = getattr(package, name)(weights=None)
    randomise_batch_norms(model)
    return model


def main() -> None:
    """Writes one file."""
    parser = argparse.ArgumentParser(description="Writes a network of larq_zoo.")
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    write_atomically(options.output, convert(options.name))


if __name__ == "__main__":
    main()
