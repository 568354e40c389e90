"""Networks of the benchmark as Larq Compute Engine runs them, through its own converter.

    python -m tests.tools.lce_models NAME -o FILE

The layers are those of `sbn_deploy.nn.models`, written so that the converter
keeps all signs packed: binary layers padded with +1, batch-norm before
pooling, binary linear layers as convolutions that cover their input. Weights
are random, batch-norms fit random images. This needs the packages of the extra
`tflite`, whose TensorFlow takes part in nothing else; run it in a process of its
own.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sbn_runtime.files import write_atomically

# larq builds on Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CALIBRATION_IMAGES = 4
# What this needs, as it is imported.
PACKAGES = ("larq_compute_engine", "larq", "tensorflow", "tf_keras")


def convert(name: str) -> bytes:
    """The TFLite file of a network of the benchmark, for one image [1, H, W, 3] float32."""
    import larq_compute_engine

    network = NETWORKS[name]()
    randomise_batch_norms(network)
    model: bytes = larq_compute_engine.convert_keras_model(network)
    return model


def randomise_batch_norms(network: Any) -> None:
    """Sets batch-norms from random images, then disturbs them, with scales of both signs.

    Every activation then takes both signs, and no two layers have the same
    constants, which the converter would store once.
    """
    import tensorflow as tf

    random = np.random.default_rng(0)
    norms = [
        layer
        for layer in network.submodules
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    for norm in norms:
        if norm.gamma is not None:
            signs = random.choice([-1.0, 1.0], norm.gamma.shape, p=[0.3, 0.7])
            norm.gamma.assign(signs * random.uniform(0.5, 1.5, norm.gamma.shape))
        if norm.beta is not None:
            norm.beta.assign(random.normal(0, 0.3, norm.beta.shape))
        # One step of training then takes over the statistics of its images.
        norm.momentum = 0.0
    images = random.normal(size=(CALIBRATION_IMAGES, *network.input_shape[1:]))
    network(tf.constant(images, tf.float32), training=True)
    for norm in norms:
        deviation = np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
        norm.moving_mean.assign_add(deviation * random.normal(0, 0.3, deviation.shape))
        norm.moving_variance.assign(deviation**2 * random.uniform(0.5, 2, deviation.shape))


def cifar_vgg() -> Any:
    """`cifar-vgg` at its default width."""
    import larq
    import tensorflow as tf

    layers = tf.keras.layers
    image = layers.Input((32, 32, 3))
    x = layers.Conv2D(128, 3, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    for width, pool in ((128, True), (256, False), (256, True), (512, False), (512, True)):
        x = layers.BatchNormalization()(_binary(larq, x, width))
        if pool:
            x = layers.MaxPool2D(2)(x)
    for width, kernel in ((1024, 4), (1024, 1), (10, 1)):
        x = layers.BatchNormalization()(_binary(larq, x, width, kernel=kernel, padding="valid"))
    x = layers.Softmax()(layers.Flatten()(x))
    return tf.keras.Model(image, x)


def birealnet18() -> Any:
    """`birealnet18` at 224x224."""
    import larq
    import tensorflow as tf

    layers = tf.keras.layers
    image = layers.Input((224, 224, 3))
    x = layers.Conv2D(64, 7, strides=2, padding="same", use_bias=False)(image)
    x = layers.MaxPool2D(3, strides=2, padding="same")(layers.BatchNormalization()(x))
    for width in (64, 128, 256, 512):
        for _ in range(4):
            shortcut, strides = x, 1
            if width != x.shape[-1]:
                strides = 2
                shortcut = layers.Conv2D(width, 1, use_bias=False)(layers.AvgPool2D(2)(x))
                shortcut = layers.BatchNormalization()(shortcut)
            x = layers.BatchNormalization()(_binary(larq, x, width, strides=strides))
            x = layers.add([x, shortcut])
    return tf.keras.Model(image, _classifier(layers, x))


def quicknet(widths: tuple[int, ...], blocks: tuple[int, ...]) -> Any:
    """`quicknet` and its variants at 224x224."""
    import larq
    import tensorflow as tf

    layers = tf.keras.layers
    image = layers.Input((224, 224, 3))
    x = layers.Conv2D(widths[0] // 4, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Conv2D(widths[0], 1, use_bias=False)(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(x)
    for width, count in zip(widths, blocks, strict=True):
        if width != x.shape[-1]:
            x = layers.MaxPool2D(2, strides=1)(layers.ReLU()(x))
            x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(x))
        for _ in range(count):
            y = layers.BatchNormalization()(_binary(larq, x, width, activation="relu"))
            x = layers.add([x, y])
    return tf.keras.Model(image, _classifier(layers, layers.ReLU()(x)))


def _binary(larq: Any, x: Any, width: int, kernel: int = 3, **options: Any) -> Any:
    """A binary convolution of the signs of x, surrounded by +1."""
    options = {"padding": "same", "pad_values": 1.0} | options
    return larq.layers.QuantConv2D(
        width,
        kernel,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
        **options,
    )(x)


def _classifier(layers: Any, x: Any) -> Any:
    # As in larq_zoo: on this engine faster than global pooling.
    x = layers.Flatten()(layers.AvgPool2D(x.shape[1])(x))
    return layers.Softmax()(layers.Dense(1000)(x))


NETWORKS: dict[str, Callable[[], Any]] = {
    "cifar-vgg": cifar_vgg,
    "birealnet18": birealnet18,
    "quicknet-small": lambda: quicknet((32, 64, 256, 512), (4, 4, 4, 4)),
    "quicknet": lambda: quicknet((64, 128, 256, 512), (4, 4, 4, 4)),
    "quicknet-large": lambda: quicknet((64, 128, 256, 512), (6, 8, 12, 6)),
}


def main() -> None:
    """Writes one file."""
    parser = argparse.ArgumentParser(description="Writes a network for Larq Compute Engine.")
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    write_atomically(options.output, convert(options.name))


if __name__ == "__main__":
    main()
