"""`sounds:PATH`: recordings as WAV files, one folder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sbn_deploy.data.class_folders import TEST, TRAIN, Layout
from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_parts
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Indices, Pixels, Stream, Unreadable, digest, states
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.errors import ConfigError, InputError
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.sound import SUFFIXES, LogMel, read_wav

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

    def read(part: str) -> Dataset:
        found = layout.files(part)
        if part == TRAIN or not layout.train:
            found.check_classes()
        pictures = np.empty((len(found.files), SOUND.bands, SOUND.frames, 1), np.uint8)
        for index, file in enumerate(found.files):
            try:
                pictures[index] = SOUND.picture(read_wav(file, SOUND.rate))
            except InputError as error:
                raise ConfigError(f"{readable(str(file))}: {error}") from error
        names = readable_names(layout.classes)
        made = eight_bit(layout.name, pictures, found.labels, names, "", found.notes())
        assert isinstance(made.preprocess, Preprocess)
        return replace(made, preprocess=replace(made.preprocess, sound=SOUND))

    return of_parts(split, read, layout.parts)


def stream(folder: Path) -> Stream:
    """The test split, each recording read when it is its turn.

    Raises what `load` raises, but not for recordings that cannot be read.
    """
    layout = Layout.of(folder, "test", KIND, SUFFIXES)
    part = TEST if TEST in layout.parts else TRAIN
    found = layout.files(part)
    whole = Stream(
        name=layout.name,
        labels=found.labels,
        classes=readable_names(layout.classes),
        pixel_max=255,
        shape=None,
        title=lambda index: readable(str(found.files[index])),
        read=lambda wanted: _pictures(found.files, wanted),
        fingerprint=digest(states(found.files, folder), found.labels.tobytes()),
        notes=found.notes(),
    )
    return whole if part == TEST else whole.test_part()


def _pictures(files: list[Path], wanted: Indices) -> Iterator[Pixels | Unreadable]:
    for index in wanted:
        try:
            yield SOUND.picture(read_wav(files[index], SOUND.rate))
        except InputError as error:
            yield Unreadable(str(error))
