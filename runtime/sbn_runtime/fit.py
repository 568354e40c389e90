"""Resizes images to a network's input size, in integer arithmetic.

docs/images.md defines every step; programs in other languages follow it bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
INTERPOLATION = "area"
"""The only one so far: averages where an axis becomes shorter, else linear."""
LONGEST = 1 << 14
"""Of the sides of a network's input: products of pixels and weights are then below 2^53."""

Image = NDArray[np.uint8]


def fitted(image: Image, height: int, width: int, fit: Fit) -> Image:
    """An image of that size.

    - crop: the largest part from the middle that has the proportions of the result.
    - pad: the whole image in the middle of a black one.
    - stretch: the whole image, with its proportions distorted.

    Args:
        image: uint8 [H, W, C].
        height, width: of the result, 1 to `LONGEST`.

    Returns:
        uint8 [height, width, C], contiguous.
    """
    rows, columns = image.shape[:2]
    if fit == "crop":
        # One of the two is the whole side.
        inner = (_scaled(width, rows, height, columns), _scaled(height, columns, width, rows))
        left, top = (columns - inner[0]) // 2, (rows - inner[1]) // 2
        image = image[top : top + inner[1], left : left + inner[0]]
    if fit != "pad":
        return resized(image, height, width)
    inner = (_scaled(columns, height, rows, width), _scaled(rows, width, columns, height))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    result = np.zeros((height, width, image.shape[2]), np.uint8)
    result[top : top + inner[1], left : left + inner[0]] = resized(image, inner[1], inner[0])
    return result


def resized(image: Image, height: int, width: int) -> Image:
    """An image uint8 [H, W, C] stretched to [height, width, C].

    Along each axis of length n, an output i of m is a sum of pixels with whole weights:

    - m <= n: pixel j has the length that [i n, (i + 1) n] and [j m, (j + 1) m] share. The
      weights add up to T = n.
    - m > n: with p = (2 i + 1) n - m, j = floor(p / 2 m) and f = p - 2 m j, pixel j has 2 m - f
      and pixel j + 1 has f; pixels outside are those at the border. T = 2 m.

    The result is (2 S + T) div 2 T, where S is the sum over both axes with the products of
    their weights, and T the product of both T: rounded once, halves up.
    """
    rows, columns, channels = image.shape
    if (rows, columns) == (height, width):
        return np.ascontiguousarray(image)
    if height * columns > rows * width:  # the smaller array in between
        return np.ascontiguousarray(resized(image.swapaxes(0, 1), width, height).swapaxes(0, 1))
    # Whole numbers below 2^53 in float64: exact, in any order, and matrix products are fast.
    down, total = _along(image.reshape(rows, -1), height)
    lines = down.reshape(height, columns, channels).swapaxes(0, 1).reshape(columns, -1)
    across, other = _along(lines, width)
    sums = across.reshape(width, height, channels).swapaxes(0, 1).astype(np.int64)
    whole = total * other
    return np.ascontiguousarray((2 * sums + whole) // (2 * whole)).astype(np.uint8)


def _along(lines: NDArray[Any], wanted: int) -> tuple[NDArray[np.float64], int]:
    """The sums over the first axis of lines [n, k], [wanted, k], and the sum of their weights."""
    if len(lines) == wanted:
        return lines.astype(np.float64), 1
    firsts, weights, total = _weights(len(lines), wanted)
    sums = np.empty((wanted, lines.shape[1]), np.float64)
    last = len(lines) - 1
    for index, (first, own) in enumerate(zip(firsts, weights, strict=True)):
        if wanted < len(lines):
            sums[index] = own @ lines[first : first + len(own)].astype(np.float64)
        else:
            before, after = max(first, 0), min(first + 1, last)
            sums[index] = own[0] * lines[before] + own[1] * lines[after]
    return sums, total


@lru_cache(maxsize=64)
def _weights(size: int, wanted: int) -> tuple[Sequence[int], Sequence[NDArray[np.float64]], int]:
    """The first pixel and the weights of each output, and the sum of the weights."""
    firsts, weights = [], []
    for index in range(wanted):
        if wanted < size:
            begin, end = index * size, (index + 1) * size
            first = begin // wanted
            edges = np.arange(first, -(-end // wanted) + 1) * wanted
            shared = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
        else:
            first, part = divmod((2 * index + 1) * size - wanted, 2 * wanted)
            shared = np.array([2 * wanted - part, part])
        firsts.append(first)
        weights.append(shared.astype(np.float64))
    return firsts, weights, size if wanted < size else 2 * wanted


def _scaled(size: int, above: int, below: int, most: int) -> int:
    """size * above / below, rounded, halves up; 1 to `most`."""
    return min(most, max(1, (2 * size * above + below) // (2 * below)))
