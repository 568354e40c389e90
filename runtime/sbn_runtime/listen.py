"""Answers to a sound that has not ended yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .preprocess import Preprocess
from .session import Session
from .sound import as_audio


@dataclass(frozen=True)
class Heard:
    """An answer.

    Attributes:
        seconds: from the start of the sound to the end of what was heard.
        probabilities: float32 [K].
    """

    seconds: float
    probabilities: NDArray[np.float32]


class Listener:
    """Classifies the last second or so of a sound, again and again while it comes in.

    Each answer is that of `Session.predict_proba` on the frames that have come in, the latest
    that fill the model's picture: it does not depend on how the sound was cut into pieces. Until
    a picture is full, silence stands before it.

    Args:
        session: of a model that takes sounds.
        every: seconds between answers, rounded to whole frames.

    Attributes:
        sound: how the model's pictures are made; samples come at its `rate`.
        frames_between: frames from one answer to the next.

    Raises:
        ModelError: the model takes no sounds.

    Example:
        listener = Listener(session)
        for piece in microphone:  # int16 [n] at listener.sound.rate
            for heard in listener.push(piece):
                print(heard.seconds, heard.probabilities.argmax())
    """

    def __init__(self, session: Session, every: float = 0.1) -> None:
        fields: Any = session.metadata.get("preprocess")
        if not isinstance(fields, dict) or not fields.get("sound"):
            raise ModelError("the model takes no sounds; train it on sounds:PATH")
        preprocess = Preprocess.from_json(fields)
        assert preprocess.sound is not None
        self.session, self.sound = session, preprocess.sound
        self.frames_between = max(1, round(every * self.sound.rate / self.sound.hop))
        self._rest = np.zeros(0)
        self._picture = np.zeros((self.sound.bands, self.sound.frames, 1), np.uint8)
        self._frames = 0

    def push(self, samples: NDArray[Any]) -> list[Heard]:
        """The answers that fall due with more samples.

        Args:
            samples: [n] at the model's rate: int16, or floats in [-1, 1].

        Raises InputError for anything else.
        """
        sound = self.sound
        self._rest = np.concatenate([self._rest, as_audio(samples)])
        answers = []
        count = max(0, (len(self._rest) - sound.window) // sound.hop + 1)
        if not count:
            return []
        whole = self._rest[: (count - 1) * sound.hop + sound.window]
        for levels in sound.levels(sound.powers(whole)).T:
            self._picture = np.roll(self._picture, -1, axis=1)
            self._picture[:, -1, 0] = levels
            self._frames += 1
            if self._frames % self.frames_between == 0:
                answers.append(self._answer())
        self._rest = self._rest[count * sound.hop :]
        return answers

    def _answer(self) -> Heard:
        x = self.session.preprocess(self._picture[np.newaxis])
        heard = (self._frames - 1) * self.sound.hop + self.sound.window
        return Heard(heard / self.sound.rate, self.session.predict_proba(x)[0])
