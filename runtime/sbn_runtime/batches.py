"""Answers to batches of pictures as data engines hand them around: a dict of arrays in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibrated import UNKNOWN, Answered, network_rows, refused
from .conformal import LAC
from .engines import find
from .errors import InputError, ModelError
from .given import read_picture
from .preprocess import Preprocess, Standardize, preprocess_from
from .session import Session
from .tasks import CLASSIFICATION
from .uncertainty import Prediction

FEWEST, MOST, NUMBERS = 64, 256, 1 << 20
"""Pictures computed at once, however many a batch has: more of small ones, up to so many numbers in
all, since what a call costs by itself is then shared by more."""
COLUMNS = {
    "label": ("long", np.int64, UNKNOWN),
    "class": ("string", object, None),
    "confidence": ("float", np.float32, np.nan),
    "entropy": ("float", np.float32, np.nan),
    "mutual_information": ("float", np.float32, np.nan),
    "agreement": ("float", np.float32, np.nan),
    "set": ("array<string>", object, None),
    "unknown": ("boolean", np.bool_, False),
    "error": ("string", object, None),
}
"""Of the answers: their types in SQL and in NumPy, and what stands where there is no answer."""


class BatchClassifier:
    """Classifies batches of pictures, as a function of columns.

    It is what Ray Data's `map_batches` and, by `frames`, Spark's `mapInPandas` call. It can be
    pickled; unpickling opens the model again, once in a process. A picture that cannot be read
    does not stop a batch: its row says why.

    Args:
        path: a classifier written by `sbn export`, where every process that classifies finds it.
        column: the column with the pictures. Each is an encoded image as bytes; the path of one,
            as text or Path; both in a dict with `bytes` and `path`, as in data sets of the
            Hugging Face hub, where `path` counts without `bytes`; or an array as
            `Session.preprocess` takes it, uint8 [H, W, C] in the model's size and pixel range. For
            a model of sounds WAV files take the place of images.
        keep: columns of the batch that are handed on before the answers.
        coverage: of a calibrated model: adds the column `set`, see `Session.predict_set`.
        reject: of a calibrated model: adds the column `unknown`; the share of ordinary images
            that may be refused, or "unknown" for 0.05, see `Session.predict`.
        samples, seed: of the noise, see `Session.run`.
        engine: of `Session`.
        threads: that share the work of a call. Data engines start a process for each core.

    Attributes:
        path: of the model, absolute.
        columns: names of the columns of answers.
        schema: the same with their types, as Spark's SQL writes them.
        wanted: how pictures become the model's input.
        engine: the name of what computes.

    Raises:
        ModelError: what `Session` raises; the model is not a classifier, does not record how
            images are normalised, or is not calibrated and `coverage` or `reject` is given.
        InputError: the model is not calibrated for this coverage or share.
    """

    path: Path
    columns: tuple[str, ...]
    schema: str
    wanted: Preprocess | Standardize
    engine: str

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        column: str = "image",
        keep: Sequence[str] = (),
        coverage: float | None = None,
        reject: str | float | None = None,
        samples: int | None = None,
        seed: int | None = None,
        engine: str | None = None,
        threads: int = 1,
    ) -> None:
        self.path = Path(fspath(path)).absolute()
        self.column, self.keep = column, tuple(keep)
        self.coverage, self.reject = coverage, reject
        self.samples, self.seed = samples, seed
        # The same in all processes that it is pickled to.
        self.engine, self.threads = find(engine).name, threads
        self._open()
        # What does not apply to the model is refused now, not by the first batch.
        self._predict(self._session.preprocess(_blank(self.wanted)))
        asked = {"set": coverage, "unknown": reject}
        self.columns = tuple(name for name in COLUMNS if asked.get(name, "always") is not None)
        self.schema = ", ".join(f"{name} {COLUMNS[name][0]}" for name in self.columns)
        if twice := {*self.keep} & {*self.columns}:
            raise InputError(
                f"keep: {', '.join(sorted(twice))} would be there twice, as an answer too; rename"
                " the column of the batch"
            )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The answers to N pictures.

        Returns:
            Of each kept column and of `columns` an array [N]:

            - `label` int64: the most probable class; -1 of a picture that is unreadable, or
              unknown.
            - `class`: its name; None where there is none.
            - `confidence`, `entropy`, `mutual_information`, `agreement` float32: see
              `Prediction`, where the first is `probability`; NaN of an unreadable picture.
            - `set`: names of the classes in the set, the most probable first; None likewise.
            - `unknown` bool: whether the picture is unlike those of the calibration.
            - `error`: why there is no answer, a text; else None.

        Raises:
            InputError: the batch lacks a column; noise that the model does not have.
        """
        for name in (self.column, *self.keep):
            if name not in batch:
                raise InputError(
                    f"the batch has no column {name!r}; it has {', '.join(map(str, batch))}"
                )
        pictures = batch[self.column]
        count = len(pictures)
        found = {
            name: np.full(count, empty, kind)
            for name, (_, kind, empty) in COLUMNS.items()
            if name in self.columns
        }
        step = _at_once(self.wanted)
        for start in range(0, count, step):
            rows = slice(start, start + step)
            self._answer(pictures[rows], {name: column[rows] for name, column in found.items()})
        return {name: np.asarray(batch[name]) for name in self.keep} | found

    def frames(self, frames: Iterable[Any]) -> Iterator[Any]:
        """The same for an iterator of pandas' data frames, as Spark's `mapInPandas` has them."""
        for frame in frames:
            yield type(frame)({name: [*column] for name, column in self(_columns(frame)).items()})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def _open(self) -> None:
        session = self._session = _opened(self.path, _state(self.path), self.engine, self.threads)
        if session.task != CLASSIFICATION:
            raise ModelError(
                f"{self.path}: its task is {session.task}; batches are answered by classifiers"
            )
        fields = session.metadata.get("preprocess")
        if not isinstance(fields, dict):
            raise ModelError(
                f"{self.path}: does not record how images are normalised; export it with"
                " --preprocess"
            )
        self.wanted = preprocess_from(fields)
        if session.calibration is None and not self.coverage is self.reject is None:
            raise ModelError(
                f"{self.path}: is not calibrated, so it has no sets and knows no unknown images;"
                f" calibrate it on held-out data: sbn calibrate {self.path} --data SET"
            )

    def _answer(self, pictures: Any, found: dict[str, NDArray[Any]]) -> None:
        """Writes the answers to some pictures into views of the columns."""
        readable, inputs = self._read_all(pictures, found["error"])
        if not readable:
            return
        x = self._session.preprocess(inputs)
        answer, sets = self._predict(x)
        known = answer.label != UNKNOWN
        found["label"][readable] = answer.label
        found["confidence"][readable] = answer.probability
        for name in ("entropy", "mutual_information", "agreement"):
            found[name][readable] = getattr(answer, name)
        if "unknown" in found:
            found["unknown"][readable] = ~known
        labels, places = np.unique(answer.label[known], return_inverse=True)
        names = np.array([self._name(label) for label in labels], object)
        found["class"][np.asarray(readable)[known]] = names[places]
        if sets is not None:
            for row, index in enumerate(readable):
                order = np.argsort(-answer.probabilities[row], kind="stable")
                found["set"][index] = [self._name(k) for k in order if sets[row, k]]

    def _predict(self, x: NDArray[Any]) -> tuple[Prediction, NDArray[np.bool_] | None]:
        """The answers, and which labels are in the sets, bool [N, K], of one run of the network."""
        session, samples, seed = self._session, self.samples, self.seed
        if session.calibration is None:
            found = session.predict(x, return_uncertainty=True, samples=samples, seed=seed)
            assert isinstance(found, Prediction)
            return found, None
        outputs = session.run(x, samples=samples, seed=seed)
        answered = Answered.of(session.calibration, *network_rows(outputs))
        answer, sets = answered.prediction(), None
        if self.coverage is not None:
            sets = answered.sets(x, self.coverage, LAC).labels
        if self.reject is not None:
            answer = refused(answer, answered.unknown(self.reject))
        return answer, sets

    def _read_all(self, pictures: Any, errors: NDArray[Any]) -> tuple[Sequence[int], NDArray[Any]]:
        """Which pictures are readable, and those; what is wrong with the others into `errors`."""
        if isinstance(pictures, np.ndarray) and pictures.ndim > 1:
            # If one of them is wrong, each is looked at.
            with suppress(InputError):
                return range(len(pictures)), _as_taken(pictures, self.wanted)
        readable: list[int] = []
        inputs: list[NDArray[Any]] = []
        for index, picture in enumerate(pictures):
            try:
                inputs.append(self._read(picture))
                readable.append(index)
            except InputError as error:
                errors[index] = str(error)
        return readable, np.stack(inputs) if inputs else np.empty(0)

    def _read(self, picture: Any) -> NDArray[Any]:
        """One picture as `Session.preprocess` takes it, or other numbers. Raises InputError."""
        # Bytes first, as most pictures are: the other checks take long beside a small picture.
        if not isinstance(picture, bytes) and isinstance(picture, Mapping):
            content = picture.get("bytes")
            picture = picture.get("path") if content is None else content
        wanted = self.wanted
        source: Path | bytes
        if isinstance(picture, bytes | bytearray | memoryview):
            source = bytes(picture)
        elif isinstance(picture, np.ndarray):
            (taken,) = _as_taken(picture[np.newaxis], wanted)
            return np.asarray(taken)
        elif isinstance(picture, str | PathLike):
            source = Path(picture)
        else:
            said = "missing" if picture is None else f"of type {type(picture).__name__}"
            raise InputError(f"the picture is {said}; give bytes, a path, or an array")
        if not isinstance(wanted, Preprocess):
            raise InputError(f"the model takes arrays of shape {wanted.shape}, not images")
        return read_picture(source, wanted)

    def _name(self, label: int) -> str:
        classes: Sequence[str] = self._session.metadata.get("classes", ())
        return classes[label] if label < len(classes) else str(label)


@lru_cache(maxsize=1)
def _opened(path: Path, _: tuple[int, int] | None, engine: str, threads: int) -> Session:
    """One session for all classifiers of a process that are of this file as it is now."""
    return Session(path, engine=engine, threads=threads)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None  # which `Session` says better
    return facts.st_size, facts.st_mtime_ns


def _at_once(wanted: Preprocess | Standardize) -> int:
    return max(FEWEST, min(MOST, NUMBERS // _blank(wanted).size))


def _blank(wanted: Preprocess | Standardize) -> NDArray[Any]:
    if isinstance(wanted, Preprocess):
        return np.zeros((1, wanted.height, wanted.width, wanted.channels), np.uint8)
    return np.zeros((1, *wanted.shape), np.float32)


def _as_taken(pictures: NDArray[Any], wanted: Preprocess | Standardize) -> NDArray[Any]:
    """Arrays [N, …], if the model takes all of them. Raises InputError."""
    if isinstance(wanted, Preprocess):
        if pictures.ndim == 3:
            pictures = pictures[..., np.newaxis]
        wanted.check(pictures)
        return pictures
    numbers = pictures.astype(np.float32) if pictures.dtype.kind == "f" else pictures
    wanted.check(numbers)
    if not np.isfinite(numbers).all():
        raise InputError("input contains NaN or infinity")
    return numbers


def _columns(frame: Any) -> dict[str, NDArray[Any]]:
    return {name: frame[name].to_numpy() for name in frame}
