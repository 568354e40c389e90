"""What a file's calibration is worth: scores without it, and how its prediction sets do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.evaluate.calibration import reliability
from sbn_deploy.evaluate.scores import Answers, summary, wilson_interval
from sbn_deploy.records.evaluation import CalibrationScores, IntervalScore, SetScore
from sbn_runtime import conformal
from sbn_runtime.calibrated import intervals
from sbn_runtime.calibration import Calibration

_Z = 1.959963984540054


@dataclass(frozen=True)
class Sets:
    """The sets of N images at L levels of coverage, whatever the number of classes.

    Attributes:
        label: int64 [N], the true class.
        inside: bool [N, L], whether it is in the set.
        size: int64 [N, L], classes in the set.
    """

    label: NDArray[np.int64]
    inside: NDArray[np.bool_]
    size: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        networks: int,
        probabilities: NDArray[np.float32],
        labels: NDArray[np.int64],
    ) -> Sets:
        """The sets that calibrated probabilities [N, K] give."""
        limits = calibration.at(calibration.quantiles[conformal.LAC], networks)
        scores = conformal.scores(probabilities.astype(np.float64), conformal.LAC)
        sets = scores[:, :, np.newaxis] <= limits
        return cls(labels, sets[np.arange(len(labels)), labels], sets.sum(axis=1))

    @classmethod
    def joined(cls, parts: Sequence[Sets]) -> Sets:
        """Those of all parts, at least one, in their order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def scores(self, asked: Sequence[float], classes: int) -> list[SetScore]:
        """How often the sets hold the truth, and how large they are, for each coverage [L]."""
        count = len(self.label)
        images = np.bincount(self.label, minlength=classes)
        found = []
        for level, coverage in enumerate(asked):
            inside, size = self.inside[:, level], self.size[:, level]
            low, high = wilson_interval(int(inside.sum()), count)
            half = _Z * float(size.std()) / sqrt(count)
            hits = np.bincount(self.label[inside], minlength=classes)
            found.append(
                SetScore(
                    asked=coverage,
                    coverage=float(inside.mean()),
                    confidence_low=low,
                    confidence_high=high,
                    size=float(size.mean()),
                    size_low=float(size.mean()) - half,
                    size_high=float(size.mean()) + half,
                    sizes=tuple(np.bincount(size, minlength=classes + 1)[1:].tolist()),
                    per_class=tuple(
                        float(hit / number) if number else None
                        for hit, number in zip(hits, images, strict=True)
                    ),
                )
            )
        return found


def interval_scores(
    calibration: Calibration,
    networks: int,
    answers: NDArray[np.float32],
    targets: NDArray[np.float32],
) -> list[IntervalScore]:
    """How often the intervals around answers [N, ...] hold the targets, and how wide they are."""
    found = []
    for asked in calibration.levels:
        interval = intervals(calibration, answers, networks, asked)
        truth = targets.reshape(answers.shape)
        inside = (interval.low <= truth) & (truth <= interval.high)
        coverage = float(inside.mean())
        low, high = wilson_interval(round(coverage * len(answers)), len(answers))
        found.append(
            IntervalScore(
                asked=asked,
                coverage=coverage,
                confidence_low=min(low, coverage),
                confidence_high=max(high, coverage),
                width=float((interval.high - interval.low).mean()),
            )
        )
    return found


def calibration_scores(
    calibration: Calibration, networks: int, before: Answers, sets: Sets, classes: int
) -> CalibrationScores:
    """The figures of a calibrated file.

    Args:
        networks: how many were averaged.
        before: the same answers without calibration.
    """
    return CalibrationScores(
        data=calibration.data,
        split=calibration.split,
        images=calibration.images,
        temperature=float(calibration.at(calibration.temperatures, networks)),
        before=summary(before, classes),
        reliability_before=tuple(reliability(before.confidence, before.correct)),
        sets=tuple(sets.scores(calibration.levels, classes)),
    )
