"""`sounds:PATH`: recordings as WAV files, one folder for each class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sbn_deploy.data.class_folders import Files, Layout
from sbn_deploy.data.dataset import Dataset, Split, eight_bit
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Stream
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.errors import ConfigError, InputError
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.sound import SUFFIXES, LogMel

KIND = "sounds"
SOUND = LogMel()


def load(folder: Path, split: Split, form: ImageForm) -> Dataset:
    """One split of PATH/train/CLASS/*.wav and so on, as `sbn_deploy.data.folder` has them.

    Recordings of any rate and length become pictures of their spectrum, see `LogMel.picture`.

    Raises:
        ConfigError: a size or colour is asked for, a recording cannot be read, or what `folder`
            raises it for.
    """
    if form.size not in (None, (SOUND.bands, SOUND.frames)) or form.colour == "rgb":
        raise ConfigError(
            f"recordings become pictures of {SOUND.bands}x{SOUND.frames} levels; leave size and"
            " colour out"
        )
    layout = Layout.of(folder, split, KIND, SUFFIXES)

    def make(found: Files) -> Dataset:
        pictures = np.empty((len(found.files), SOUND.bands, SOUND.frames, 1), np.uint8)
        for index, file in enumerate(found.files):
            try:
                pictures[index] = SOUND.picture_of(file)
            except InputError as error:
                raise ConfigError(f"{readable(str(file))}: {error}") from error
        names = readable_names(layout.classes)
        made = eight_bit(layout.name, pictures, found.labels, names, "", found.notes())
        assert isinstance(made.preprocess, Preprocess)
        return replace(made, preprocess=replace(made.preprocess, sound=SOUND))

    return layout.load(split, make)


def stream(folder: Path) -> Stream:
    """The test split, each recording read when it is its turn.

    Raises what `load` raises, but not for recordings that cannot be read.
    """
    return Layout.of(folder, "test", KIND, SUFFIXES).stream(SOUND.picture_of)
