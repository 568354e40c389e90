"""BinaryNet for CIFAR-10 as in larq's tutorial, through LCE's own converter.

    python -m tests.tools.lce_tutorial -o FILE [--untrained]

Weights are random. Batch-norms fit random images, or are as they begin. It needs the
extra `tflite`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sbn_runtime.files import write_atomically

from .lce_models import randomise_batch_norms


def binarynet() -> Any:
    """The tutorial's network: its dense layers lie behind Flatten."""
    import larq
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    layers, model = tf.keras.layers, tf.keras.Sequential()
    weights = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    binary = {"input_quantizer": "ste_sign", "use_bias": False, **weights}

    def norm() -> None:
        model.add(layers.BatchNormalization(momentum=0.999, scale=False))

    model.add(larq.layers.QuantConv2D(128, 3, use_bias=False, input_shape=(32, 32, 3), **weights))
    norm()
    for width, pool in ((128, True), (256, False), (256, True), (512, False), (512, True)):
        model.add(larq.layers.QuantConv2D(width, 3, padding="same", **binary))
        if pool:
            model.add(layers.MaxPool2D(2))
        norm()
    model.add(layers.Flatten())
    for width in (1024, 1024, 10):
        model.add(larq.layers.QuantDense(width, **binary))
        norm()
    model.add(layers.Activation("softmax"))
    return model


def main() -> None:
    """Writes one file."""
    parser = argparse.ArgumentParser(description="Writes BinaryNet of larq's tutorial.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--untrained", action="store_true", help="batch-norms as they begin")
    options = parser.parse_args()
    import larq_compute_engine

    model = binarynet()
    if not options.untrained:
        randomise_batch_norms(model)
    write_atomically(options.output, larq_compute_engine.convert_keras_model(model))


if __name__ == "__main__":
    main()
