"""The images of a data set as one array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.form import ImageForm, size_text
from sbn_runtime.decode import decode as decoded
from sbn_runtime.errors import ConfigError, InputError
from sbn_runtime.fit import fitted
from sbn_runtime.raster import Raster, to_grey

Image = NDArray[np.uint8]


def decode(sources: Iterable[tuple[str, bytes | Path]], name: str, form: ImageForm) -> Image:
    """Images of one size as uint8 [N, H, W, C]; grey if the form or all of them are, else RGB.

    Args:
        sources: what to call each image in a message, and its file or contents.
        name: the data set, for messages.

    Raises:
        ConfigError: an image cannot be read, or the form names no size and they differ in it.
        MissingDependencyError: Pillow is missing.
    """
    images: list[Image] = []
    sizes: dict[tuple[int, ...], str] = {}
    for title, source in sources:
        try:
            raster = decoded(source)
        except InputError as error:
            raise ConfigError(f"{name}: {title} is {error}") from error
        image = _formed(raster, form)
        sizes.setdefault(image.shape[:2], title)
        # The message says how many sizes there are.
        if len(sizes) == 1:
            images.append(image)
    if len(sizes) > 1:
        raise ConfigError(f"{name}: {differ(sizes, form)}")
    if not images:
        raise ConfigError(f"{name} contains no images; choose another data set")
    if all(image.ndim == 2 for image in images) and form.colour != "rgb":
        return np.stack(images)[..., np.newaxis]
    return np.stack([in_colour(image) for image in images])


def in_colour(image: Image) -> Image:
    """Grey [H, W] or RGB [H, W, 3] as RGB."""
    return np.stack([image] * 3, axis=2) if image.ndim == 2 else image


def _formed(raster: Raster, form: ImageForm) -> Image:
    """Grey [H, W] or RGB [H, W, 3]; the same as `Preprocess.fitted` makes of it."""
    image = raster.upright() if form.fit else raster.plain()
    if form.colour == "grey" and image.ndim == 3:
        image = to_grey(image)
    if form.size is None or not form.fit:
        return image
    if image.ndim == 2:
        return fitted(image[..., np.newaxis], *form.size, form.fit)[..., 0]
    return fitted(image, *form.size, form.fit)


def differ(sizes: dict[tuple[int, ...], str], form: ImageForm) -> str:
    """What to do about images of several sizes, of which each has an example."""
    (first, one), (second, other), *_ = sizes.items()
    shorter = sorted(min(size) for size in sizes)[len(sizes) // 2]
    usual = next((size for size in (224, 128, 96, 64, 32) if size <= shorter), 32)
    remedy = f"give them one with --size, as --size {usual}" if form.fit else "make them alike"
    return (
        f"{other} has {size_text(*second)}, but {one} {size_text(*first)}, and there are"
        f" {len(sizes)} sizes in all; {remedy}"
    )
