"""Classifying a test set that may be larger than memory, image by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import Dataset, Stream
from sbn_deploy.data.form import size_text
from sbn_deploy.data.stream import Encoded, Pixels, Unreadable
from sbn_deploy.evaluate.calibrated import Sets, calibration_scores
from sbn_deploy.evaluate.calibration import reliability
from sbn_deploy.evaluate.classifier import Classifier
from sbn_deploy.evaluate.confusion import confusion_matrix, per_class
from sbn_deploy.evaluate.partial import Batch, Partial
from sbn_deploy.evaluate.ranking import area_under_risk_coverage, risk_coverage, thinned
from sbn_deploy.evaluate.scores import Answers, summary
from sbn_deploy.records.evaluation import CalibrationScores, Data, Skipped
from sbn_runtime import InputError
from sbn_runtime.raster import Raster


@dataclass(frozen=True)
class Outcome:
    """The result of a test set: answers to at least one image, the skipped ones, the time it took.

    calibration: figures of a calibrated file.
    """

    answers: Answers
    skipped: list[Skipped]
    seconds: float
    calibration: CalibrationScores | None = None


@dataclass(frozen=True)
class _Read:
    """A batch in memory: images uint8 [n, H, W, C] at `indices`, and what was not read."""

    count: int
    indices: NDArray[np.int64]
    images: Pixels
    skipped: list[tuple[int, str]]


class Evaluator:
    """An evaluation, from where it was interrupted if `partial` has answers.

    Args:
        model: what classifies.
        data: the images.
        labels: int64 [N], the true classes as numbers of the model's classes.
        classes: how many the model has.
        batch: images classified at once.
        partial: where the answers so far are kept.

    Attributes:
        done: how many images are finished.
        steps: how many batches are left.
    """

    def __init__(
        self,
        model: Classifier,
        data: Stream,
        labels: NDArray[np.int64],
        classes: int,
        *,
        batch: int,
        partial: Partial | None = None,
    ) -> None:
        self._model, self._data, self._labels = model, data, labels
        self._classes, self._batch, self._partial = classes, batch, partial
        self._parts: list[Answers] = []
        # Of a calibrated file: the answers before, and the prediction sets.
        self._before: list[Answers] = []
        self._sets: list[Sets] = []
        self._skipped: list[Skipped] = []
        self._seconds = 0.0
        self._right, self._answered = 0, 0
        self.done = 0
        for earlier in partial.batches() if partial else ():
            self._keep(earlier)
        self.steps = -(-(len(data) - self.done) // batch)

    def run(self, report: Callable[[str], None]) -> Outcome:
        """Classifies what is left, while the next images are read.

        Args:
            report: called after each batch, with the speed and the accuracy so far.

        Raises:
            InputError: no image could be classified.
            ConfigError: the data is damaged as a whole.
            ModelError: the model failed.
            OSError: the answers cannot be kept.
        """
        images = self._data.read(np.arange(self.done, len(self._data)))
        firsts = range(self.done, len(self._data), self._batch)
        began, before = time.perf_counter(), self.done
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self._read, images, self.done)
            start = began
            for first in firsts:
                read = following.result()
                following = reader.submit(self._read, images, first + read.count)
                labels = self._labels[read.indices]
                probabilities = np.empty((0, self._classes), np.float32)
                if len(labels):
                    probabilities = self._model.probabilities(read.images)
                now = time.perf_counter()
                batch = Batch(
                    first=first,
                    count=read.count,
                    indices=read.indices,
                    labels=labels,
                    probabilities=probabilities,
                    skipped=read.skipped,
                    seconds=now - start,
                )
                start = now
                if self._partial:
                    self._partial.append(batch)
                self._keep(batch)
                report(self._status((self.done - before) / (now - began)))
        if not self._parts:
            first_one = self._skipped[0]
            raise InputError(
                f"none of the {len(self._data)} images of {self._data.name} could be evaluated;"
                f" the first, {first_one.file}: {first_one.reason}"
            )
        scores = None
        if self._model.calibration is not None:
            scores = calibration_scores(
                self._model.calibration,
                self._model.networks,
                Answers.joined(self._before),
                Sets.joined(self._sets),
                self._classes,
            )
        return Outcome(Answers.joined(self._parts), self._skipped, self._seconds, scores)

    def _read(self, images: Iterator[Pixels | Encoded], first: int) -> _Read:
        indices, kept, skipped = [], [], []
        count = 0
        for index, image in enumerate(islice(images, self._batch), first):
            count += 1
            fitted = self._fitted(index, image)
            if isinstance(fitted, Unreadable):
                skipped.append((index, fitted.reason))
            else:
                indices.append(index)
                kept.append(fitted)
        pixels = np.stack(kept) if kept else np.empty((0, *self._model.shape), np.uint8)
        return _Read(count, np.array(indices, np.int64), pixels, skipped)

    def _fitted(self, index: int, image: Pixels | Encoded) -> Pixels | Unreadable:
        """The image as the model takes it, [H, W, C], or why it cannot be."""
        if isinstance(image, Unreadable):
            return image
        label = self._labels[index]
        if not 0 <= label < self._classes:
            return Unreadable(
                f"label {label} is not a class; they range from 0 to {self._classes - 1}"
            )
        preprocess = self._model.preprocess
        if isinstance(image, Raster):
            if preprocess.fit:
                try:
                    return preprocess.fitted(image)
                except InputError as error:
                    return Unreadable(str(error))
            image = image.plain()
        height, width, channels = self._model.shape
        brightest, most = int(image.max()), preprocess.pixel_max
        if brightest > most:
            return Unreadable(f"has a pixel of {brightest}, but the model's largest is {most}")
        known = 1 if image.ndim == 2 else image.shape[2]
        if preprocess.fit and {known, channels} <= {1, 3}:
            return preprocess.sized(image[..., 0] if image.ndim == 3 and known == 1 else image)
        if image.shape[:2] != (height, width):
            found = size_text(*image.shape[:2])
            return Unreadable(f"has {found}, but the model takes {height}x{width}")
        if image.ndim == 2:
            return np.stack([image] * channels, axis=2)
        if known != channels:
            if channels == 1:
                return Unreadable("is in colour, but the model takes grey images")
            return Unreadable(f"has {known} channels, but the model takes {channels}")
        return image

    def _keep(self, batch: Batch) -> None:
        self.done += batch.count
        self._seconds += batch.seconds
        self._skipped += [
            Skipped(file=self._data.title(i), reason=reason) for i, reason in batch.skipped
        ]
        if len(batch.labels):
            answers = Answers.of(batch.probabilities, batch.labels)
            self._parts.append(answers)
            known, networks = self._model.calibration, self._model.networks
            if known is not None:
                mean = known.mean(batch.probabilities, networks)
                self._before.append(Answers.of(mean, batch.labels))
                self._sets.append(Sets.of(known, networks, batch.probabilities, batch.labels))
            self._right += int(answers.correct.sum())
            self._answered += len(answers)

    def _status(self, rate: float) -> str:
        share = f", {self._right / self._answered:.1%} right" if self._answered else ""
        return f"{rate:,.0f} images/s{share}"


def figures(
    outcome: Outcome, data: Stream | Dataset, spec: str, classes: Sequence[str]
) -> dict[str, Any]:
    """What an `Evaluation` says of the answers: its fields but for those of the model.

    Args:
        outcome: of `Evaluator.run`.
        data: what was classified.
        spec: how the user named it.
        classes: names of the model's classes [K].
    """
    answers = outcome.answers
    confusion = confusion_matrix(answers, len(classes))
    coverage, risk = thinned(*risk_coverage(answers.confidence, answers.correct))
    return {
        "data": Data(
            name=data.name,
            spec=spec,
            images=len(data),
            classes=tuple(classes),
            skipped=tuple(outcome.skipped),
        ),
        "scores": summary(answers, len(classes)),
        "per_class": tuple(per_class(confusion, classes)),
        "confusion": tuple(map(tuple, confusion.tolist())),
        "reliability": tuple(reliability(answers.confidence, answers.correct)),
        "coverage": tuple(coverage),
        "risk": tuple(risk),
        "aurc": area_under_risk_coverage(answers.confidence, answers.correct),
        "calibration": outcome.calibration,
        "seconds": outcome.seconds,
        "images_per_s": len(data) / outcome.seconds,
    }
