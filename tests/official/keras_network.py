"""Described networks in Keras with larq's layers, through the official converter.

    python -m tests.official.keras_network NETWORKS FOLDER

reads a pickled dict of names and networks and writes NAME.tflite for each.
TensorFlow has this process to itself.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

# larq builds on Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import larq
import larq_compute_engine
import tensorflow as tf
from tensorflow.keras import layers as keras

from .description import AveragePool, Conv, Layer, Linear, MaxPool, Network, Norm, Relu, Residual

EPSILON = 1e-5  # torch's


def build(network: Network) -> Any:
    """The network: float32 [1, H, W, C] -> logits [1, K]."""
    channels, height, width = network.image
    image = keras.Input((height, width, channels))
    return tf.keras.Model(image, keras.Flatten()(_apply(network.layers, image)))


def _apply(layers: list[Layer], x: Any) -> Any:
    for layer in layers:
        x = _apply_one(layer, x)
    return x


def _apply_one(layer: Layer, x: Any) -> Any:
    match layer:
        case Conv():
            return _conv(layer, x)
        case Linear():
            # Over the whole image, where Larq Compute Engine has binary kernels.
            _, height, width, channels = x.shape
            weight = layer.weight.reshape(-1, channels, height, width)
            return _conv(Conv(weight, binary=layer.binary), x)
        case Norm():
            norm = keras.BatchNormalization(epsilon=EPSILON)
            y = norm(x)
            norm.set_weights([layer.scale, layer.shift, layer.mean, layer.variance])
            return y
        case Relu():
            return keras.ReLU()(x)
        case MaxPool():
            return keras.MaxPool2D(2)(x)
        case AveragePool():
            return keras.AvgPool2D(layer.size)(x)
        case Residual():
            return keras.add([_apply(layer.body, x), _apply(layer.shortcut, x)])


def _conv(layer: Conv, x: Any) -> Any:
    outputs, _, kernel, columns = layer.weight.shape
    quantizers: dict[str, Any] = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    options: dict[str, Any] = {
        "strides": layer.stride,
        "dilation_rate": layer.dilation,
        "use_bias": False,
        "padding": "valid",
    }
    if layer.padding and _is_same(layer, x.shape[1]) and _is_same(layer, x.shape[2]):
        options["padding"] = "same"
        if layer.binary:
            options["pad_values"] = layer.border
    elif layer.padding:
        around = [[0, 0], [layer.padding] * 2, [layer.padding] * 2, [0, 0]]
        x = tf.pad(
            larq.quantizers.SteSign()(x) if layer.binary else x, around, "CONSTANT", layer.border
        )
        quantizers["input_quantizer"] = None
    if layer.binary:
        conv = larq.layers.QuantConv2D(outputs, (kernel, columns), **options, **quantizers)
    else:
        conv = keras.Conv2D(outputs, (kernel, columns), **options)
    y = conv(x)
    conv.set_weights([layer.weight.transpose(2, 3, 1, 0)])
    return y


def _is_same(layer: Conv, size: int) -> bool:
    """Whether padding SAME has the same border on both sides as the layer."""
    reach = (layer.weight.shape[2] - 1) * layer.dilation
    total = (-(-size // layer.stride) - 1) * layer.stride + reach + 1 - size
    return total == 2 * layer.padding


def main() -> None:
    """Writes one file for each network."""
    networks: dict[str, Network] = pickle.loads(Path(sys.argv[1]).read_bytes())
    for name, network in networks.items():
        model = larq_compute_engine.convert_keras_model(build(network))
        Path(sys.argv[2], f"{name}.tflite").write_bytes(model)


if __name__ == "__main__":
    main()
