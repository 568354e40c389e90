"""Resizes images to a network's input size, in integer arithmetic.

docs/images.md defines every step; programs in other languages follow it bit for bit.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
INTERPOLATION = "area"
"""The only one so far: averages where an axis becomes shorter, else linear."""
LONGEST = 1 << 14
"""Of the sides of a network's input: products of pixels and weights are then below 2^53."""

MANY = 32
"""Pixels that become one, from which adding them up at once is faster than one after the other."""

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
    down, total = _along(image.reshape(rows, -1), height, 255)
    lines = down.reshape(height, columns, channels).swapaxes(0, 1).reshape(columns, -1)
    across, other = _along(lines, width, 255 * total)
    sums = across.reshape(width, height, channels).swapaxes(0, 1)
    whole = total * other
    kind: Any = np.uint32 if _exact(511 * whole) is np.uint32 else np.int64
    found = (2 * sums.astype(kind) + kind(whole)) // kind(2 * whole)
    return np.ascontiguousarray(found.astype(np.uint8))


def _exact(largest: int) -> Any:
    """The fastest type whose sums of whole numbers up to `largest`, below 2^53, are exact."""
    return np.uint32 if largest < 1 << 32 else np.float64


def _along(lines: NDArray[Any], wanted: int, largest: int) -> tuple[NDArray[Any], int]:
    """The sums over the first axis of lines [n, k], [wanted, k], and the sum of their weights.

    largest: of the numbers in `lines`.
    """
    size = len(lines)
    if size == wanted:
        return lines, 1
    outputs = np.arange(wanted)
    total = size if wanted < size else 2 * wanted
    kind = _exact(largest * total)
    sums = np.zeros((wanted, lines.shape[1]), kind)

    def add(pixels: NDArray[np.int64], weights: NDArray[np.int64]) -> None:
        own = lines.take(pixels, axis=0)
        np.add(sums, np.multiply(own, weights.astype(kind)[:, np.newaxis], dtype=kind), out=sums)

    if wanted > size:
        firsts, parts = np.divmod((2 * outputs + 1) * size - wanted, total)
        add(np.maximum(firsts, 0), total - parts)
        add(np.minimum(firsts + 1, size - 1), parts)
    elif size > MANY * wanted:
        firsts, parts = np.divmod(np.arange(wanted + 1) * size, wanted)
        np.add.reduceat(lines, firsts[:-1], axis=0, dtype=kind, out=sums)
        sums *= kind(wanted)
        # A pixel that two outputs share was given to the second one.
        shared = lines.take(firsts, axis=0, mode="clip").astype(kind)
        shared *= parts.astype(kind)[:, np.newaxis]
        sums += shared[1:]
        sums -= shared[:-1]
    else:
        begins, ends = outputs * size, (outputs + 1) * size
        firsts = begins // wanted
        for step in range(int((-(-ends // wanted) - firsts).max())):
            pixels = firsts + step
            shares = np.minimum((pixels + 1) * wanted, ends) - np.maximum(pixels * wanted, begins)
            add(np.minimum(pixels, size - 1), np.maximum(shares, 0))
    return sums, total


def _scaled(size: int, above: int, below: int, most: int) -> int:
    """size * above / below, rounded, halves up; 1 to `most`."""
    return min(most, max(1, (2 * size * above + below) // (2 * below)))
