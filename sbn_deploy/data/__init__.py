"""Inputs with targets and their normalisation, split into train, validation and test."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

from sbn_deploy.data import bundled, signals, stored
from sbn_deploy.data.bundled import NAMES as BUNDLED
from sbn_deploy.data.dataset import Dataset, Split, formed
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Stream, of_memory, some
from sbn_deploy.names import suggest
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess

__all__ = [
    "Dataset",
    "ImageForm",
    "Preprocess",
    "Split",
    "Stream",
    "is_classified_images",
    "load",
    "load_stored",
    "names",
    "stores",
    "stream_test",
]

# Of scikit-learn, and of a generator.
WITHOUT_PATH = (*BUNDLED, "signals")
KINDS = ("cifar10", "folder", "sounds", "npz", "hf-parquet", "webdataset")
STORED = ("folder", "hf-parquet", "webdataset")
"""Of these, images can stay in their files."""


def names() -> tuple[str, ...]:
    """What `load` accepts."""
    return (*WITHOUT_PATH, *(f"{kind}:PATH" for kind in KINDS))


AS_THEY_ARE = ImageForm()


def load(spec: str, split: Split, form: ImageForm = AS_THEY_ARE) -> Dataset:
    """One split of a data set, its images in the form that is asked for.

    - `digits`: the 1797 8x8 images bundled with scikit-learn.
    - `diabetes`, `breast-cancer`, `wine`: its tables of numbers, float32 [N, F]; the first with
      a number as target, the others with classes.
    - `signals`: noisy waveforms of six kinds, float32 [N, 1, 128], generated.
    - `cifar10:PATH`: CIFAR-10, as parquet files or as the original binary batches.
    - `folder:PATH`: image files in PATH/train/CLASS, PATH/val/CLASS and PATH/test/CLASS, or
      PATH/CLASS.
    - `sounds:PATH`: WAV files in such folders; `Dataset.images` are pictures of their spectrum.
    - `npz:PATH`: a NumPy archive with `images` and `labels`, or with `x` and `y` for other
      inputs and tasks.
    - `hf-parquet:PATH`: a folder of parquet files as on the Hugging Face hub.
    - `webdataset:PATH`: a folder of tar archives as WebDataset has them.

    Where the data has no such parts itself, each fifth image of a class is for
    testing and each tenth of the rest for validation. "train" is what is left;
    "train+validation" is all that is not for testing.

    Raises:
        ConfigError: unknown data set or split, missing or broken files.
        MissingDependencyError: a package that the data set needs is missing.
    """
    if split not in get_args(Split):
        raise ConfigError(f"unknown split {split!r}; choose one of {', '.join(get_args(Split))}")
    if spec in BUNDLED:
        return formed(bundled.load(spec, split), form)
    if spec == "signals":
        return signals.load(split)
    kind, path = _located(spec)
    return formed(_reader(kind).load(path, split, form), form)


def stores(spec: str) -> bool:
    """Whether `load_stored` takes the data set. Raises ConfigError for unknown data."""
    return spec not in WITHOUT_PATH and _located(spec)[0] in STORED


def load_stored(
    spec: str, split: Split, form: ImageForm = AS_THEY_ARE, workers: int | None = None
) -> Dataset:
    """The same as `load`, with images that stay in their files, see `StoredImages`.

    workers: processes that read them where many are needed; None for as many as fit.

    Raises what `load` raises; problems with single images when they are read.
    """
    kind, path = _located(spec)
    return stored.of_stream(_reader(kind).stream(path, split), form, workers)


def is_classified_images(spec: str) -> bool:
    """Whether a data set holds 8-bit images and their classes, as `stream_test` needs it.

    Raises ConfigError for unknown data, and for a file that cannot be opened.
    """
    if spec in WITHOUT_PATH:
        return spec == "digits"
    kind, path = _located(spec)
    if kind != "npz":
        return True
    from sbn_deploy.data import npz

    return npz.streams(path)


def stream_test(spec: str) -> Stream:
    """The test split of a data set of images and classes, read image by image.

    Problems with single images are not reported yet.

    Raises what `load` raises for the data as a whole.
    """
    if spec in WITHOUT_PATH:
        return of_memory(load(spec, "test"))
    kind, path = _located(spec)
    return some(_reader(kind).stream(path))


def _reader(kind: str) -> ModuleType:
    """The module that reads data sets of a kind; they load packages that only they need."""
    return import_module(f"sbn_deploy.data.{kind.removeprefix('hf-')}")


def _located(spec: str) -> tuple[str, Path]:
    """Kind and place of a data set in files. Raises ConfigError."""
    kind, _, location = spec.partition(":")
    if kind not in KINDS:
        meant = suggest(kind, (*WITHOUT_PATH, *KINDS))
        if "\0" not in spec and os.path.isdir(os.path.expanduser(spec)):
            meant = f"; did you mean folder:{spec}?"
        raise ConfigError(f"unknown data set {spec!r}{meant}; choose one of {', '.join(names())}")
    usable = location and "\0" not in location
    path = Path(os.path.expanduser(location) if usable else "")
    if not usable or not os.path.exists(path):
        raise ConfigError(
            f"no data at {location!r}; give the data set as {kind}:PATH with a PATH that exists"
        )
    return kind, path
