"""What `sbn evaluate --sweep-samples` measures: what averaging more networks is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbn_deploy.records.evaluation import ReliabilityBin
from sbn_deploy.records.measurement import Measurement
from sbn_deploy.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class Row(Record):
    """One variant of a network, with `networks` of its networks averaged.

    Confidence intervals are of 95 %; changes are against the first row, on the same images.
    """

    variant: str
    networks: int
    accuracy: float
    confidence_low: float
    confidence_high: float
    nll: float
    nll_low: float
    nll_high: float
    nll_change: float
    nll_change_low: float
    nll_change_high: float
    brier: float
    ece: float
    ece_change: float
    ece_change_low: float
    """By bootstrap over the images."""
    ece_change_high: float
    temperature: float | None
    """At which the labels are most probable, by cross-validation; null for a single image."""
    calibrated_nll: float | None
    """At that temperature, found on the other half of the images."""
    calibrated_ece: float | None
    aurc: float
    auroc_entropy: float | None
    """How well entropy tells shifted or out-of-distribution images from the others."""
    auroc_mutual_information: float | None
    """The same for mutual information; null for one network, which contradicts nobody."""


@dataclass(frozen=True, kw_only=True)
class AnytimeRow(Record):
    """A variant that was sampled until the label was settled."""

    variant: str
    confidence: float
    max_samples: int
    mean_samples: float
    accuracy: float
    confidence_low: float
    confidence_high: float
    full_accuracy: float
    """With all samples."""
    kept: float
    """The accuracy as a share of that."""
    changed: float
    """Share of images whose label differs from that with all samples."""


@dataclass(frozen=True, kw_only=True)
class Curves(Record):
    """Reliability and risk by coverage of a variant with all its networks."""

    variant: str
    networks: int
    reliability: tuple[ReliabilityBin, ...]
    coverage: tuple[float, ...]
    risk: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Averaging(Measurement):
    """Accuracy, calibration and doubt by the number of networks averaged."""

    kind: Literal["averaging"] = "averaging"
    data: str
    images: int
    ood: str
    """The shifted or out-of-distribution images to detect."""
    seed: int | None
    rows: tuple[Row, ...]
    anytime: tuple[AnytimeRow, ...]
    curves: tuple[Curves, ...]
