"""A file's calibration: temperatures, quantiles of scores, thresholds.

`sbn calibrate` measures it on held-out images and writes it into the metadata of the file, under
"calibration", as JSON. What follows is normative for every runtime; all numbers are float64.

- `networks` rises; each table has a row for each of its counts. A call that averages n networks
  (members times samples) uses the row of n. Between two counts a < n < b a value is
  v_a + w (v_b - v_a) with w = (1/a - 1/n) / (1/a - 1/b), since what averaging changes falls like
  1/n; below the first and above the last count the nearest row holds.
- The calibrated probabilities of one image, of the mean m of the softmaxes of n networks, are the
  softmax of (log max(m_k, 1e-300) + o_k) / T, with the temperature T of n and `offsets` o, or 0
  where there are none. The most probable class is the first with the largest m_k exp(o_k), for
  every n: without offsets, that of the mean itself. A softmax subtracts the largest logit,
  takes exponentials, and divides by their sum.
- Sets and intervals are in `sbn_runtime.conformal`, scores of unknown images in
  `sbn_runtime.ood`.
- `weights_sha256` is `sbn_runtime.modelfile.weights_digest` of the file that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import conformal
from .errors import InputError
from .uncertainty import softmax

KEY = "calibration"
VERSION = 1
CLASSIFICATION, REGRESSION = TASKS = ("classification", "regression")
SMALLEST = 1e-300
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unknown:
    """How images unlike the ordinary ones are detected.

    Attributes:
        score: one of `sbn_runtime.ood.SCORES`; an image is unknown if it is above the threshold.
        shares: of ordinary images that are refused, rising.
        thresholds: float64 [C, S], by count of networks and share.
        auroc: by the name of a shift, how well each score told shifted images from the others.
    """

    score: str
    shares: tuple[float, ...]
    thresholds: Floats
    auroc: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Calibration:
    """The calibration of a file; of C counts of networks, L levels of coverage, K classes.

    Attributes:
        task: "classification" or "regression".
        weights_sha256: digest of what was measured.
        data, split, images: what it was measured on.
        networks: the counts that were measured, rising.
        measured: figures of the fit, by name, for people.
        levels: of coverage, rising.
        temperatures: [C]; all 1 for regression.
        offsets: [K], added to the logarithms of probabilities; zeros where they did not help.
        quantiles: [C, L] of the scores of "lac", "aps" and "raps".
        by_class: [L, K], quantiles for each class, at `class_networks` networks; None where the
            images were too few.
        class_networks: see `by_class`.
        unknown: None where no score was measured.
        intervals: [C, L, D], for each of D numbers, the largest distance from the truth;
            None for classification.
    """

    task: str
    weights_sha256: str
    data: str
    split: str
    images: int
    networks: tuple[int, ...]
    measured: Mapping[str, float]
    levels: tuple[float, ...]
    temperatures: Floats
    offsets: Floats
    quantiles: Mapping[str, Floats]
    by_class: Floats | None
    class_networks: int
    unknown: Unknown | None
    intervals: Floats | None

    @property
    def weights(self) -> Floats:
        """[K], above 0 and at most 1: the most probable class is the first with the largest mean
        probability times this, for any number of networks."""
        found: Floats = np.exp(self.offsets - self.offsets.max())
        return found

    def at(self, table: Floats, networks: int) -> Floats:
        """The row of a table [C, ...] for a count of networks, see the module: float64 [...]."""
        counts = self.networks
        above = next((i for i, count in enumerate(counts) if count >= networks), len(counts) - 1)
        below = max(above - 1, 0)
        if above == below or counts[above] <= networks:
            return np.asarray(table[above])
        a, b = 1 / counts[below], 1 / counts[above]
        share = (a - 1 / networks) / (a - b)
        found: Floats = np.asarray(table[below] + share * (table[above] - table[below]))
        return found

    def probabilities(self, mean: Floats, networks: int) -> Floats:
        """Calibrated probabilities float64 [N, K] of the mean over networks, float64 [N, K]."""
        return tempered(mean, float(self.at(self.temperatures, networks)), self.offsets)

    def mean(self, probabilities: NDArray[Any], networks: int) -> Floats:
        """The mean over networks of which `probabilities` [N, K] were made: its inverse."""
        temperature = float(self.at(self.temperatures, networks))
        return tempered(probabilities, 1 / temperature, -self.offsets / temperature)

    def level(self, coverage: float) -> int:
        """The number of a level of coverage. Raises InputError for one that was not measured."""
        return _chosen(coverage, self.levels, "coverage")

    def prediction_sets(
        self, probabilities: Floats, networks: int, coverage: float, method: str, u: Floats
    ) -> NDArray[np.bool_]:
        """Which labels are in the set of each image, bool [N, K]; see `sbn_runtime.conformal`.

        Raises InputError for an unknown method, a coverage that was not measured, and
        class-conditional sets if there are none for this many networks.
        """
        if method not in conformal.METHODS:
            raise InputError(
                f"unknown method {method!r}; choose one of {', '.join(conformal.METHODS)}"
            )
        level = self.level(coverage)
        limit: Floats
        if method == conformal.CLASS_CONDITIONAL:
            if self.by_class is None:
                raise InputError(
                    f"class-conditional sets need more images of each class than the"
                    f" {self.images:,} that the file was calibrated on have; calibrate it with more"
                )
            if networks != self.class_networks:
                raise InputError(
                    f"class-conditional sets are calibrated for {self.class_networks} networks, not"
                    f" for {networks}; leave out samples"
                )
            limit = self.by_class[level]
        else:
            limit = self.at(self.quantiles[method], networks)[level]
        found: NDArray[np.bool_] = conformal.scores(probabilities, method, u) <= limit
        return found

    def threshold(self, share: float, networks: int) -> float:
        """The score above which an image is refused, so that this share of ordinary ones is.

        Raises InputError for a share that was not measured, or where no score was.
        """
        if self.unknown is None:
            raise InputError("the file has no threshold for unknown images; calibrate it again")
        index = _chosen(share, self.unknown.shares, "share of ordinary images to refuse")
        return float(self.at(self.unknown.thresholds, networks)[index])

    def to_json(self) -> dict[str, Any]:
        """What stands in the metadata."""
        known = self.unknown
        return {
            "version": VERSION,
            "task": self.task,
            "weights_sha256": self.weights_sha256,
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "networks": list(self.networks),
            "measured": dict(self.measured),
            "levels": list(self.levels),
            "temperatures": self.temperatures.tolist(),
            "offsets": self.offsets.tolist(),
            "quantiles": {name: table.tolist() for name, table in self.quantiles.items()},
            "by_class": None if self.by_class is None else self.by_class.tolist(),
            "class_networks": self.class_networks,
            "unknown": None
            if known is None
            else {
                "score": known.score,
                "shares": list(known.shares),
                "thresholds": known.thresholds.tolist(),
                "auroc": {name: dict(scores) for name, scores in known.auroc.items()},
            },
            "intervals": None if self.intervals is None else self.intervals.tolist(),
        }


def tempered(mean: NDArray[Any], temperature: float, offsets: Floats | float = 0.0) -> Floats:
    """The softmax of (log max(m, 1e-300) + o) / T along the last axis, float64.

    Args:
        mean: probabilities [..., K].
        temperature: T, above 0.
        offsets: o, [K] or one for all.
    """
    logits = (np.log(np.maximum(np.asarray(mean, np.float64), SMALLEST)) + offsets) / temperature
    return softmax(logits)


def _chosen(value: Any, known: Sequence[float], what: str) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        for index, level in enumerate(known):
            if abs(level - value) < 1e-9:
                return index
    raise InputError(
        f"the {what} must be one that the file is calibrated for,"
        f" {', '.join(f'{level:g}' for level in known) or 'of which there is none'}; not {value!r}"
    )
