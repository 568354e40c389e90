"""What a program must know of a classifier of images to call it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbn_runtime import Calibration, ModelError, Preprocess, SbnError, Session
from sbn_runtime.engines import NATIVE
from sbn_runtime.modelfile import external_files
from sbn_runtime.tasks import CLASSIFICATION

from .fill import check_name

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Facts:
    """What a program must know of a model to call it.

    Attributes:
        file: name of the model's file.
        input: name of the model's input.
        takes_pixels: the input is uint8 [N, H, W, C]; else float32 [N, C, H, W], normalised.
        image: size and normalisation of its images.
        classes: names of the classes, in the order of the probabilities.
        samples: noise samples of each image; 0 for a model without noise.
        members: of the file.
        calibration: of the file, None where it has none.
    """

    file: str
    input: str
    takes_pixels: bool
    image: Preprocess
    classes: tuple[str, ...]
    samples: int
    members: int = 1
    calibration: Calibration | None = None

    @property
    def fits(self) -> bool:
        """Whether the file says how images of any size become the model's."""
        return bool(self.image.fit) and self.image.channels in (1, 3)

    @classmethod
    def read(cls, path: Path, session: Session) -> Facts:
        """Of a classifier of images, which is run once.

        Raises ModelError where the file does not say what a program must know, or something else
        than what it computes.
        """
        facts = cls._of(path, session)
        image = facts.image
        black = np.zeros((1, image.height, image.width, image.channels), np.uint8)
        try:
            (probabilities,) = session.predict_proba(session.preprocess(black))
        except SbnError as error:
            raise ModelError(f"{path}: does not run on the images it describes: {error}") from error
        if len(probabilities) != len(facts.classes):
            raise ModelError(
                f"{path}: names {len(facts.classes)} classes but has {len(probabilities)};"
                " export the model again"
            )
        return facts

    @classmethod
    def read_for_app(
        cls, path: Path, session: Session, what: str, page: str, *, sounds: bool = False
    ) -> Facts:
        """The same for an app that shows one picture's class, in the native runtime.

        Args:
            what: the app.
            page: of the documentation, which says what serves other models.
            sounds: it reads recordings too.

        Raises:
            ModelError: also where the runtime lacks an operator of the file, or it is for
                something else.
        """
        if other := _other_than_shown(session, sounds):
            shown = "one image or sound" if sounds else "one image"
            raise ModelError(
                f"{path}: {other}, and {what} shows classifiers of {shown}; {page} has what"
                " programs of your own can call for others"
            )
        if external_files(path):
            raise ModelError(
                f"{path}: keeps constants in files beside it, which the native runtime does not"
                " read; save it as one file"
            )
        try:
            native = Session(path, engine=NATIVE, threads=1)
        except ModelError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise ModelError(f"{path}: {what} cannot run it: {reason}") from error
        facts = cls.read(path, native)
        if facts.image.channels not in (1, 3):
            raise ModelError(
                f"{path}: takes {facts.image.channels} channels, and {what} reads images of 1 or 3"
            )
        return facts

    @classmethod
    def _of(cls, path: Path, session: Session) -> Facts:
        fields, classes = (session.metadata.get(key) for key in ("preprocess", "classes"))
        if not isinstance(fields, dict) or not isinstance(classes, list):
            raise ModelError(
                f"{path}: does not say what its images and classes are; export it with --classes"
                " and --preprocess"
            )
        check_name(path)
        image = Preprocess.from_json(fields)
        takes_pixels = session.inputs[0].dtype == "uint8"
        if takes_pixels and image.order == "bgr":
            raise ModelError(
                f"{path}: takes the pixels of images as blue, green, red; export it without"
                " order=bgr, and its first layer with its channels reversed"
            )
        return cls(
            file=path.name,
            input=session.inputs[0].name,
            takes_pixels=takes_pixels,
            image=image,
            classes=tuple(" ".join(str(name).split()) for name in classes),
            samples=session.metadata["samples"] if session.stochastic else 0,
            members=int(session.metadata.get("members", 1)),
            calibration=session.calibration,
        )


def takes_sounds(session: Session) -> bool:
    """Whether its input is made of recordings."""
    return "sound" in _preprocess(session)


def takes_numbers(session: Session) -> bool:
    """Whether its input is made of rows of numbers."""
    return "shape" in _preprocess(session)


def _preprocess(session: Session) -> dict[str, Any]:
    """What the file says of its input; nothing where that is damaged."""
    fields = session.metadata.get("preprocess")
    return fields if isinstance(fields, dict) else {}


def _other_than_shown(session: Session, sounds: bool) -> str:
    """What a model is for; "" where that may be to classify one picture, or one of `sounds`."""
    if session.task != CLASSIFICATION:
        return f"its task is {session.task}"
    if len(session.inputs) > 1:
        return f"takes {len(session.inputs)} inputs"
    if takes_numbers(session):
        return "takes numbers"
    return "takes sounds" if takes_sounds(session) and not sounds else ""
