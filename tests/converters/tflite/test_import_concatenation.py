"""Concatenations of packed signs: whole words follow each other, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .binary_parts import convolution, images, quantized, unpacked
from .imported import check, refusal
from .reference import pack
from .tflite_models import Builder, words

RANDOM = np.random.default_rng(5)
IMAGE = (1, 3, 4, 50)
COUNTS = [(40, 40), (32, 32), (64, 64), (48, 16), (5, 7, 9), (33, 64), (64, 33), (70, 70), (31, 1)]


def held(*channels: int) -> int:
    """Words that hold so many channels each."""
    return sum(-(-count // 32) for count in channels)


def joined(b: Builder, parts: list[int]) -> int:
    """Packed images side by side."""
    total = sum(b.model.tensors[part].shape[-1] for part in parts)
    return b.operator("CONCATENATION", parts, (1, 3, 4, total), np.int32, axis=3)


def layer(b: Builder, x: int, channels: int) -> int:
    """What reads the signs."""
    return convolution(b, x, channels, 6, packed=False)


def words_joined(b: Builder, parts: list[int], channels: tuple[int, ...]) -> int:
    return layer(b, joined(b, parts), 32 * held(*channels[:-1]) + channels[-1])


def words_read_whole(b: Builder, parts: list[int], channels: tuple[int, ...]) -> int:
    """The layer reads the last word's clear bits as +1."""
    return layer(b, joined(b, parts), 32 * held(*channels))


def floats_joined(b: Builder, parts: list[int], channels: tuple[int, ...]) -> int:
    """What LCE's converter makes of a concatenation of signs."""
    floats = [unpacked(b, part, count) for part, count in zip(parts, channels, strict=True)]
    total = sum(channels)
    y = b.operator("CONCATENATION", floats, (1, 3, 4, total), axis=-1)
    return layer(b, quantized(b, y), total)


def words_in_a_row(b: Builder, parts: list[int], channels: tuple[int, ...]) -> int:
    size = 12 * held(*channels)
    shape = (1, 1, 1, size)
    row = b.operator("RESHAPE", [joined(b, parts), b.integers(*shape)], shape, np.int32)
    return convolution(b, row, 32 * size, 6, (1, 1), packed=False)


WAYS: list[Callable[[Builder, list[int], tuple[int, ...]], int]] = [
    words_joined,
    words_read_whole,
    floats_joined,
    words_in_a_row,
]


@pytest.mark.parametrize("channels", COUNTS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_signs_are_joined_at_any_count(
    way: Callable[[Builder, list[int], tuple[int, ...]], int], channels: tuple[int, ...]
) -> None:
    b = Builder()
    x = quantized(b, b.input(IMAGE))
    parts = [convolution(b, x, IMAGE[-1], count) for count in channels]
    layers = check(b.finish(way(b, parts, channels)), *images(*IMAGE), exact=True)
    assert sum(layer.kind == "binary" for layer in layers) == len(channels) + 1
    assert not any(layer.kind == "float" for layer in layers)
    if way is words_joined and all(count % 64 == 0 or count % 64 > 32 for count in channels[:-1]):
        # Nothing is unpacked where parts fill their words of 64.
        assert not any(layer.kind == "unpack" for layer in layers)


def test_rows_of_other_counts_are_joined() -> None:
    b = Builder()
    x = quantized(b, b.input(IMAGE))
    parts = [convolution(b, x, IMAGE[-1], count) for count in (33, 50)]
    y = b.operator("CONCATENATION", parts, (1, 6, 4, 2), np.int32, axis=1)
    layers = check(b.finish(layer(b, y, 50)), *images(*IMAGE), exact=True)
    assert sum(layer.kind == "binary" for layer in layers) == 3


def test_a_constant_is_joined() -> None:
    b = Builder()
    x = quantized(b, b.input(IMAGE))
    y = joined(b, [x, b.constant(words(RANDOM, 1, 3, 4, 1)), x])
    layers = check(b.finish(layer(b, y, 32 * 3 + 50)), *images(*IMAGE), exact=True)
    assert sum(layer.kind == "binary" for layer in layers) == 1


def turned(b: Builder, x: int) -> int:
    """All bits of the words, also those that are no channels."""
    return b.operator("BITWISE_XOR", [x, b.integers(-1)], (1, 3, 4, 2), np.int32)


def surrounded(b: Builder, x: int) -> int:
    """With a border whose bits are all set."""
    pads = b.constant(np.array([[0, 0], [1, 0], [0, 0], [0, 0]], np.int32))
    cut = b.operator(
        "SLICE", [x, b.integers(0, 0, 0, 0), b.integers(1, 2, 4, 2)], (1, 2, 4, 2), np.int32
    )
    return b.operator("PADV2", [cut, pads, b.integers(-1)], (1, 3, 4, 2), np.int32)


@pytest.mark.parametrize("change", [turned, surrounded])
def test_bits_that_are_no_channels_may_be_set_but_not_be_read(
    change: Callable[[Builder, int], int],
) -> None:
    """LCE's convolutions count them."""
    readers: dict[str, Callable[[Builder, int], int]] = {
        "CONCATENATION": lambda b, x: layer(b, joined(b, [x, x]), 64 + 50),
        "LceBconv2d": lambda b, x: layer(b, x, 50),
    }
    for name, read in readers.items():
        b = Builder()
        message = refusal(b.finish(read(b, change(b, quantized(b, b.input(IMAGE))))))
        assert message.endswith(f"({name}): bits beyond the 50 channels of its input are set")
    b = Builder()
    model = b.finish(unpacked(b, change(b, quantized(b, b.input(IMAGE))), 50))
    check(model, *images(*IMAGE), exact=True)


def test_channels_may_be_turned() -> None:
    b = Builder()
    mask = b.constant(pack(RANDOM.random(50) < 0.5))
    x = quantized(b, b.input(IMAGE))
    y = b.operator("BITWISE_XOR", [x, mask], (1, 3, 4, 2), np.int32)
    layers = check(b.finish(layer(b, joined(b, [y, y]), 64 + 50)), *images(*IMAGE), exact=True)
    assert sum(layer.kind == "binary" for layer in layers) == 1


@pytest.mark.parametrize("channels", [33, 49, 65])
def test_other_counts_than_the_words_have_are_refused(channels: int) -> None:
    b = Builder()
    x = quantized(b, b.input(IMAGE))
    message = refusal(b.finish(layer(b, x, channels)))
    assert message.endswith(f"(LceBconv2d): it takes {channels} channels, its input has 50")
