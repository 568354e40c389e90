"""From answers to held-out data to a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.evaluate.calibration import negative_log_likelihood
from sbn_deploy.evaluate.ranking import auroc
from sbn_deploy.evaluate.scores import score
from sbn_deploy.evaluate.temperature import best_offsets, best_temperature
from sbn_runtime import conformal, ood
from sbn_runtime.calibration import Unknown, tempered

from .measure import Classified, Counts

LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
FOLDS = 5
_Z = 1.959963984540054

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Temperatures and offsets, and what they are worth.

    Attributes:
        temperatures: float64 [C].
        offsets: float64 [K], zeros where they do not win.
        measured: figures at the file's default of networks, by name.
        of_folds: the offsets that each fifth of the images gets from the others.
    """

    temperatures: Floats
    offsets: Floats
    measured: dict[str, float]
    of_folds: Sequence[Floats]


def scaling(means: Floats, labels: NDArray[np.int64], wanted: Counts) -> Scaling:
    """Fits temperatures, and offsets where they win.

    They win if, at the default count of networks, each fifth of the images has a better
    likelihood with the offsets and temperature that the others give than with their temperature
    alone, and the 95 % interval of the mean difference excludes zero. The figures are of the same
    fifths: `ece` and `nll` as the file will answer, `raw_ece` and `raw_nll` as it answered.

    Args:
        means: float64 [C, N, K], see `Classified`.
    """
    mean, count = means[wanted.networks.index(wanted.default)], means.shape[2]
    none = [np.zeros(count)] * FOLDS
    fold = _folds(len(labels))
    some = [best_offsets(mean[fold != k], labels[fold != k]) for k in range(FOLDS)]
    plain, shifted = (cross_fitted(mean, labels, offsets) for offsets in (none, some))
    gain = negative_log_likelihood(plain, labels) - negative_log_likelihood(shifted, labels)
    low = float(gain.mean() - _Z * gain.std(ddof=1) / sqrt(len(gain)))
    offsets = best_offsets(mean, labels) if low > 0 else np.zeros(count)
    temperatures = [best_temperature(mean, labels, offsets) for mean in means]
    raw, own = score(mean, labels), score(shifted if low > 0 else plain, labels)
    measured = {
        "accuracy": own.accuracy,
        "ece": own.ece,
        "nll": own.nll,
        "raw_accuracy": raw.accuracy,
        "raw_ece": raw.ece,
        "raw_nll": raw.nll,
        "offsets_gain": float(gain.mean()),
        "offsets_gain_low": low,
    }
    return Scaling(np.array(temperatures), offsets, measured, some if low > 0 else none)


def cross_fitted(mean: Floats, labels: NDArray[np.int64], offsets: Sequence[Floats]) -> Floats:
    """Calibrated probabilities [N, K] of each fifth of the images by the fit of the others.

    Args:
        mean: float64 [N, K].
        offsets: of each fifth.
    """
    fold = _folds(len(labels))
    found = np.empty_like(mean)
    for k, own in enumerate(offsets):
        temperature = best_temperature(mean[fold != k], labels[fold != k], own)
        found[fold == k] = tempered(mean[fold == k], temperature, own)
    return found


def _folds(images: int) -> NDArray[np.int64]:
    """The fifth that each image belongs to."""
    found: NDArray[np.int64] = np.arange(images) % FOLDS
    return found


def levels(images: int) -> tuple[float, ...]:
    """The levels of coverage that this many images allow."""
    return tuple(level for level in LEVELS if conformal.needed(level) <= images)


def set_quantiles(
    classified: Classified, labels: NDArray[np.int64], fitted: Scaling
) -> dict[str, Floats]:
    """By method the quantiles [C, L] of the scores of the true labels.

    The probabilities are those of `cross_fitted`: an image must not be judged by a fit that it was
    a part of, or a few images with offsets would promise too much.
    """
    found: dict[str, list[list[Any]]] = {}
    true = labels[:, np.newaxis]
    for mean in classified.means:
        p = cross_fitted(mean, labels, fitted.of_folds)
        for method in (conformal.LAC, conformal.APS, conformal.RAPS):
            scores = np.take_along_axis(conformal.scores(p, method, classified.u), true, 1)[:, 0]
            row = [conformal.quantile(scores, level) for level in levels(len(labels))]
            found.setdefault(method, []).append(row)
    return {method: np.array(rows, np.float64) for method, rows in found.items()}


def class_quantiles(
    probabilities: Floats, labels: NDArray[np.int64], wanted: Sequence[float]
) -> Floats | None:
    """The quantiles [L, K] of each class by itself; None if a class has fewer than 9 images.

    So many are needed at a coverage of 0.9. A class with too few for a higher level gets 1 there,
    the largest score: it is in every set.
    """
    if np.bincount(labels, minlength=probabilities.shape[1]).min() < conformal.needed(0.9):
        return None
    scores = conformal.scores(probabilities, conformal.LAC)
    columns = []
    for k in range(probabilities.shape[1]):
        own = scores[labels == k, k]
        found = [conformal.quantile(own, level) for level in wanted]
        columns.append([1.0 if value is None else float(value) for value in found])
    return np.array(columns).T


def best_score(
    own: Mapping[str, Floats], shifted: Mapping[str, Mapping[str, Floats]]
) -> tuple[str, dict[str, dict[str, float]]]:
    """The score with the largest mean AUROC over the shifts, and the AUROCs by shift and score.

    Args:
        own: each score [N] of ordinary images, by name.
        shifted: the same of shifted images, by the name of the shift; where there are none,
            energy is taken if it is known, else entropy.
    """
    found = {
        shift: {name: auroc(values, own[name]) for name, values in scores.items()}
        for shift, scores in shifted.items()
    }
    if not found:
        return (ood.ENERGY if ood.ENERGY in own else ood.ENTROPY), {}
    means = {name: np.mean([scores[name] for scores in found.values()]) for name in own}
    return max(means, key=lambda name: means[name]), found


def unknown(score_name: str, scores: Floats, aurocs: Mapping[str, Mapping[str, float]]) -> Unknown:
    """Thresholds above which at most a share of ordinary images lies, of scores [C, N]."""
    shares = tuple(s for s in SHARES if conformal.needed(1 - s) <= scores.shape[1])
    thresholds = [[conformal.quantile(row, 1 - share) for share in shares] for row in scores]
    return Unknown(
        score_name, shares, np.array(thresholds, np.float64).reshape(len(scores), -1), aurocs
    )


def interval_quantiles(answers: Floats, targets: Floats) -> Floats:
    """The quantiles [C, L, D] of the distances of answers [C, N, D] from targets [N, D]."""
    distances = np.abs(answers - targets)
    return np.array(
        [[conformal.quantile(row, level) for level in levels(len(targets))] for row in distances],
        np.float64,
    )
