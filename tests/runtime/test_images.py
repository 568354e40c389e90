"""From a decoded image to a network's input: every step against its definition."""

from __future__ import annotations

import io
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sbn_runtime import InputError, ModelError, Preprocess
from sbn_runtime.decode import ORIENTATION, decode
from sbn_runtime.fit import FITS, fitted, resized
from sbn_runtime.raster import CHANNELS, Raster, from_cmyk, on_white, to_grey

Pixels = NDArray[np.uint8]
SIDES = st.integers(1, 20)


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def shares(size: int, wanted: int) -> list[list[Fraction]]:
    """How much of each pixel is in each output along an axis: lengths, or linear interpolation."""
    table = [[Fraction(0)] * size for _ in range(wanted)]
    for output, row in enumerate(table):
        if wanted <= size:
            begin, end = Fraction(output * size, wanted), Fraction((output + 1) * size, wanted)
            for pixel in range(size):
                length = min(end, Fraction(pixel + 1)) - max(begin, Fraction(pixel))
                row[pixel] = max(length, Fraction(0)) / (end - begin)
        else:
            at = Fraction(2 * output + 1, 2) * size / wanted - Fraction(1, 2)
            left = floor(at)
            for pixel, part in ((left, 1 - (at - left)), (left + 1, at - left)):
                row[min(max(pixel, 0), size - 1)] += part
    return table


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 999))
def test_resized_is_its_definition_rounded_once(
    rows: int, columns: int, height: int, width: int, seed: int
) -> None:
    image = noise(rows, columns, 2, seed=seed)
    down, across = shares(rows, height), shares(columns, width)
    found = resized(image, height, width)
    for y, x, c in ((0, 0, 0), (height - 1, width - 1, 1), (height // 2, width // 3, 0)):
        exact = sum(
            down[y][i] * across[x][j] * int(image[i, j, c])
            for i in range(rows)
            for j in range(columns)
        )
        assert found[y, x, c] == floor(exact + Fraction(1, 2))


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 999))
def test_resized_as_floats_do(rows: int, columns: int, height: int, width: int, seed: int) -> None:
    image = noise(rows, columns, 3, seed=seed)
    down, across = (np.array(shares(*sizes), float) for sizes in ((rows, height), (columns, width)))
    exact = np.einsum("yi,xj,ijc->yxc", down, across, image)
    assert np.abs(resized(image, height, width) - exact).max() <= 0.5 + 1e-9


@given(st.integers(1, 300), st.integers(1, 3), st.integers(1, 4), st.integers(0, 999))
def test_many_pixels_become_one(size: int, channels: int, wanted: int, seed: int) -> None:
    image = noise(size, 2, channels, seed=seed)
    exact = np.einsum("yi,ijc->yjc", np.array(shares(size, wanted), float), image)
    found = resized(image, wanted, 2)
    assert np.abs(found - exact).max() <= 0.5 + 1e-9
    assert np.array_equal(resized(image.swapaxes(0, 1), 2, wanted), found.swapaxes(0, 1))


def test_long_sides_are_exact() -> None:
    """Whole numbers as long as they get: a half is a half, and a little less is less."""
    image = np.full((1, 60_000, 1), 255, np.uint8)
    image[0, ::2] = 254
    assert (resized(image, 1, 6) == 255).all()
    image[0, ::10_000] -= 1
    assert (resized(image, 16_384, 6) == 254).all()


@given(SIDES, SIDES, SIDES, SIDES)
def test_parts_that_are_kept(rows: int, columns: int, height: int, width: int) -> None:
    image = np.ones((rows, columns, 1), np.uint8)
    for fit in FITS:
        found = fitted(image, height, width, fit)
        assert found.shape == (height, width, 1)
        assert found.flags.c_contiguous
        if fit != "pad":
            assert found.all()
            continue
        kept = np.argwhere(found[..., 0])
        top, left = kept.min(axis=0)
        bottom, right = (height, width) - kept.max(axis=0) - 1
        assert 0 <= bottom - top <= 1
        assert 0 <= right - left <= 1
        # One side is whole; the other keeps the proportions to half a pixel, but for the last.
        inner_height, inner_width = height - top - bottom, width - left - right
        assert inner_height == height or inner_width == width
        if inner_height == height and inner_width < width:
            assert abs(inner_width - columns * height / rows) <= 0.5 or inner_width == 1


def test_crop_takes_the_middle() -> None:
    image = np.arange(10, dtype=np.uint8).reshape(1, 10, 1).repeat(4, axis=0)
    assert fitted(image, 4, 4, "crop")[0, :, 0].tolist() == [3, 4, 5, 6]
    assert fitted(image, 2, 2, "crop")[0, :, 0].tolist() == [4, 6]  # 3.5 and 5.5
    assert fitted(image.swapaxes(0, 1), 4, 4, "crop")[:, 0, 0].tolist() == [3, 4, 5, 6]


def test_colours_are_those_of_pillow() -> None:
    """Which rounds in the same way; each value of each pair is there."""
    pairs = np.stack(np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2, indexing="ij"), axis=2)
    inks = np.concatenate([pairs[..., :1]] * 3 + [pairs[..., 1:]], axis=2)
    assert np.array_equal(from_cmyk(inks), np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")))
    colours = noise(64, 64, 3)
    assert np.array_equal(to_grey(colours), np.asarray(Image.fromarray(colours).convert("L")))
    exact = (pairs[..., 0] * (pairs[..., 1] / 255)) + 255 - pairs[..., 1]
    assert np.abs(on_white(pairs[..., 0], pairs[..., 1]) - exact).max() < 0.5 + 1e-9
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_grey(np.stack([grey] * 3, axis=2)), grey)


@pytest.mark.parametrize("orientation", range(10))
def test_orientations_are_those_of_pillow(orientation: int) -> None:
    image = Image.fromarray(noise(3, 5, 3))
    image.getexif()[ORIENTATION] = orientation
    file = io.BytesIO()
    image.save(file, "png", exif=image.getexif())
    raster = decode(file.getvalue())
    assert raster.orientation == orientation
    upright = ImageOps.exif_transpose(image)
    assert np.array_equal(raster.upright(), np.asarray(upright))
    assert np.array_equal(raster.plain(), np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_orientations_of_every_kind_of_file(orientation: int, kind: str) -> None:
    image = Image.fromarray(noise(3, 5, 3))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "webp" else {}
    found = stored(image, kind, exif=exif, **options).upright()
    image.getexif()[ORIENTATION] = orientation
    assert np.array_equal(found, np.asarray(ImageOps.exif_transpose(image)))


def test_a_damaged_orientation_is_none() -> None:
    image = Image.fromarray(noise(3, 5))
    file = io.BytesIO()
    image.save(file, "png", exif=b"Exif\0\0no TIFF at all")
    assert decode(file.getvalue()).orientation == 1


def stored(image: Image.Image, kind: str = "png", **options: Any) -> Raster:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return decode(file.getvalue())


def test_files_of_every_kind_of_pixel() -> None:
    grey, colours, alpha = noise(4, 6), noise(4, 6, 3), noise(4, 6, seed=1)
    rgb = Image.fromarray(colours)
    assert np.array_equal(stored(Image.fromarray(grey)).upright(), grey)
    assert np.array_equal(stored(rgb).upright(), colours)
    sixteen = noise(4, 6).astype(np.uint16) * 257
    assert np.array_equal(stored(Image.fromarray(sixteen)).upright(), sixteen >> 8)
    bits = Image.fromarray(grey > 99)
    assert np.array_equal(stored(bits).upright(), np.where(grey > 99, 255, 0))
    rgba = Image.fromarray(np.dstack([colours, alpha]))
    assert stored(rgba).mode == "rgba"
    assert np.array_equal(stored(rgba).upright(), on_white(colours, alpha))
    assert np.array_equal(stored(rgba).plain(), colours)
    la = stored(Image.fromarray(np.dstack([grey, alpha])))
    assert np.array_equal(la.upright(), on_white(grey, alpha))
    few = rgb.quantize(7)
    assert stored(few).mode == "palette"
    assert np.array_equal(stored(few).upright(), np.asarray(few.convert("RGB")))
    transparent = stored(few, transparency=bytes([0, 128]))
    rgb_of, index = np.asarray(few.convert("RGB")), np.asarray(few)
    opacity = np.where(index == 0, 0, np.where(index == 1, 128, 255)).astype(np.uint8)
    assert np.array_equal(transparent.upright(), on_white(rgb_of, opacity))
    assert np.array_equal(transparent.plain(), rgb_of)
    one_colour = stored(rgb, transparency=tuple(map(int, colours[0, 0])))
    assert one_colour.upright()[0, 0].tolist() == [255] * 3
    assert np.array_equal(one_colour.plain(), colours)
    cmyk = rgb.convert("CMYK")
    assert stored(cmyk, "tiff").mode == "cmyk"
    assert np.array_equal(stored(cmyk, "tiff").upright(), np.asarray(cmyk.convert("RGB")))


def test_arrays_and_rasters_that_cannot_be() -> None:
    assert [Raster.of_array(noise(2, 3, n)).mode for n in (1, 2, 3, 4)] == [
        "grey", "grey+alpha", "rgb", "rgba",
    ]  # fmt: skip
    for shape in ((2,), (2, 3, 5), (1, 2, 3, 4)):
        with pytest.raises(InputError, match=r"\[H, W\] or \[H, W, 1 to 4\], this has"):
            Raster.of_array(noise(*shape))
    for mode in CHANNELS:
        with pytest.raises(InputError, match="cannot be float64"):
            Raster(np.zeros((2, 2)), mode)
        with pytest.raises(InputError, match=rf"{mode.replace('+', '.')} cannot be uint8 \[0, 2"):
            Raster(noise(*(0, 2, CHANNELS[mode])[: 2 + (CHANNELS[mode] > 1)]), mode)


def preprocess(channels: int, **fields: Any) -> Preprocess:
    half = (0.5,) * channels
    return Preprocess(channels, 6, 5, 255, half, half, **fields)


def test_the_whole_way() -> None:
    photo = Raster(noise(9, 8, 3), "rgb", orientation=6)
    grey = preprocess(1, fit="crop").fitted(photo)
    upright = np.rot90(photo.pixels, -1)
    assert np.array_equal(grey, fitted(to_grey(upright)[..., np.newaxis], 6, 5, "crop"))
    assert np.array_equal(
        preprocess(3, fit="pad").fitted(Raster(noise(9, 8), "grey")),
        fitted(np.stack([noise(9, 8)] * 3, axis=2), 6, 5, "pad"),
    )
    sixteen = Preprocess(1, 1, 2, 16, (0.5,), (0.5,), fit="crop")
    assert sixteen.fitted(Raster.of_array(np.uint8([[255, 8]]))).ravel().tolist() == [16, 1]
    with pytest.raises(InputError, match="takes 2 channels, not an image's 1 or 3"):
        preprocess(2, fit="crop").fitted(photo)


def test_what_files_say_of_it() -> None:
    said = preprocess(3, fit="pad").to_json()
    assert (said["fit"], said["interpolation"]) == ("pad", "area")
    assert Preprocess.from_json(said) == preprocess(3, fit="pad")
    older = preprocess(3).to_json()
    assert not {"fit", "interpolation"} & older.keys()
    assert Preprocess.from_json(older) == preprocess(3)
    with pytest.raises(ModelError, match="resized by 'cubic', which this version does not support"):
        Preprocess.from_json(said | {"interpolation": "cubic"})
    for wrong in ({"fit": "cover"}, {"fit": 3}, {"fit": []}, {"height": 1 << 15}):
        with pytest.raises(ModelError, match="impossible"):
            Preprocess.from_json(said | wrong)


def test_without_pillow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    from sbn_runtime import MissingDependencyError
    from sbn_runtime import decode as module

    module.formats.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match="image files need Pillow: pip install pillow"):
        decode(tmp_path / "photo.jpg")
