"""What averaging more networks is worth: accuracy, calibration and uncertainty by their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.evaluate.calibration import (
    ece_change,
    negative_log_likelihood,
    reliability,
)
from sbn_deploy.evaluate.ranking import (
    area_under_risk_coverage,
    auroc,
    risk_coverage,
    thinned,
)
from sbn_deploy.evaluate.scores import BATCH, check_labels, score, wilson_interval
from sbn_deploy.evaluate.temperature import cross_calibrated
from sbn_deploy.records.averaging import AnytimeRow, Curves, Row
from sbn_runtime import InputError, Prediction, Session
from sbn_runtime.anytime import GROUP
from sbn_runtime.calibrated import Answered
from sbn_runtime.uncertainty import averaged, softmax

_Z = 1.959963984540054
P = TypeVar("P", bound=Prediction)


@dataclass(frozen=True)
class Images:
    """Test images uint8 [N, H, W, C], their labels int64 [N], and shifted images, if any."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    shifted: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Variant:
    """A model to score, and what it is called."""

    name: str
    session: Session

    @property
    def members(self) -> int:
        return int(self.session.metadata.get("members", 1))

    def samples(self, networks: int) -> int:
        """Noise samples needed for at least this many networks; 1 without noise."""
        return -(-networks // self.members) if self.session.stochastic else 1

    def draws(self, networks: int) -> int:
        """What `Session.predict_until` may draw of this many networks: samples, or members."""
        return self.samples(networks) if self.session.stochastic else min(self.members, networks)


def average(
    variants: Sequence[Variant],
    images: Images,
    counts: Sequence[int],
    *,
    seed: int | None,
    confidence: float,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Scores models by the number of networks averaged.

    The most of `counts` are computed once; fewer are the first of them. With several
    members, each member's first sample comes before anyone's second. Counts beyond what
    a model has are left out.

    Args:
        counts: rising, each at least 1.
        seed: of the noise; None for the exported one.
        confidence: of `Session.predict_until`, tried on models with noise or members where at
            least two groups of samples, or members, are drawn.
        report: called `steps` times, with the variant's name.

    Returns:
        The figures of an `Averaging`.

    Raises:
        InputError: `seed` is out of range, there are no images, they do not fit a model,
            or a label is not one of its classes.
    """
    if not len(images.labels):
        raise InputError("there are no samples to evaluate")
    rows: list[Row] = []
    anytime: list[AnytimeRow] = []
    curves: list[Curves] = []
    baseline: Prediction | None = None
    for variant in variants:
        most = counts[-1]
        samples = variant.samples(most)
        available = variant.members * samples
        used = [count for count in counts if count <= available] or [available]
        answers = _answers(variant, images.pixels, used, samples, seed, report)
        check_labels(images.labels, answers[0].probabilities.shape[1])
        baseline = baseline or answers[0]
        ood: Sequence[Prediction | None] = [None] * len(used)
        if images.shifted is not None:
            ood = _answers(variant, images.shifted, used, samples, seed, report)
        for count, own, other in zip(used, answers, ood, strict=True):
            rows.append(_row(variant.name, count, own, other, images.labels, baseline))
        curves.append(_curves(variant.name, used[-1], answers[-1], images.labels))
        if _in_groups(variant, most):
            anytime.append(_anytime(variant, images, answers[-1], most, seed, confidence, report))
    return {
        "images": len(images.labels),
        "rows": tuple(rows),
        "anytime": tuple(anytime),
        "curves": tuple(curves),
    }


def steps(variants: Sequence[Variant], images: Images, counts: Sequence[int]) -> int:
    """How often `average` reports."""
    own, ood = (
        _batches(images.pixels),
        0 if images.shifted is None else _batches(images.shifted),
    )
    settled = sum(_in_groups(variant, counts[-1]) for variant in variants)
    return len(variants) * (own + ood) + settled * own


def _batches(pixels: NDArray[np.uint8]) -> int:
    return -(-len(pixels) // BATCH)


def _inputs(variant: Variant, pixels: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
    """Batches in the form that the model takes."""
    for start in range(0, len(pixels), BATCH):
        yield variant.session.preprocess(pixels[start : start + BATCH])


def _in_groups(variant: Variant, most: int) -> bool:
    return variant.draws(most) >= 2 * GROUP


def _answers(
    variant: Variant,
    pixels: NDArray[np.uint8],
    counts: Sequence[int],
    samples: int,
    seed: int | None,
    report: Callable[[str], None],
) -> list[Prediction]:
    """The averaged answers of the first networks, for each of `counts`."""
    draw = {"samples": samples, "seed": seed} if variant.session.stochastic else {}
    parts = []
    for x in _inputs(variant, pixels):
        outputs = variant.session.run(x, **draw)
        rows = _rows(outputs, variant.members)
        parts.append([_summary(variant.session, rows[:n]) for n in counts])
        report(variant.name)
    return [_joined(column) for column in zip(*parts, strict=True)]


def _summary(session: Session, rows: NDArray[np.float64]) -> Prediction:
    if session.calibration is None:
        return averaged(rows)
    return Answered.of(session.calibration, rows).prediction()


def _rows(outputs: dict[str, NDArray[Any]], members: int) -> NDArray[np.float64]:
    """Probabilities [R, N, K], all members of a sample before the next sample."""
    if "member_logits" not in outputs:
        return outputs["probabilities"][np.newaxis].astype(np.float64)
    rows = softmax(outputs["member_logits"])
    in_turns = rows.reshape(members, -1, *rows.shape[1:]).swapaxes(0, 1)
    return np.ascontiguousarray(in_turns).reshape(rows.shape)


def _joined(parts: Sequence[P]) -> P:
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(kind)))


def _row(
    name: str,
    networks: int,
    own: Prediction,
    ood: Prediction | None,
    labels: NDArray[np.int64],
    baseline: Prediction,
) -> Row:
    scores, before = (score(one.probabilities, labels) for one in (own, baseline))
    losses = negative_log_likelihood(own.probabilities, labels)
    nll_low, nll_high = _interval(losses)
    change = losses - negative_log_likelihood(baseline.probabilities, labels)
    change_low, change_high = _interval(change)
    ece_low, ece_high = ece_change(baseline.probabilities, own.probabilities, labels)
    calibrated, temperature = None, None
    if len(labels) > 1:
        warmed, temperature = cross_calibrated(own.probabilities, labels)
        calibrated = score(warmed, labels)
    return Row(
        variant=name,
        networks=networks,
        accuracy=scores.accuracy,
        confidence_low=scores.confidence_low,
        confidence_high=scores.confidence_high,
        nll=scores.nll,
        nll_low=nll_low,
        nll_high=nll_high,
        nll_change=float(change.mean()),
        nll_change_low=change_low,
        nll_change_high=change_high,
        brier=scores.brier,
        ece=scores.ece,
        ece_change=scores.ece - before.ece,
        ece_change_low=ece_low,
        ece_change_high=ece_high,
        temperature=temperature,
        calibrated_nll=None if calibrated is None else calibrated.nll,
        calibrated_ece=None if calibrated is None else calibrated.ece,
        aurc=area_under_risk_coverage(own.probability, own.label == labels),
        auroc_entropy=None if ood is None else auroc(ood.entropy, own.entropy),
        auroc_mutual_information=(
            None
            if ood is None or networks == 1
            else auroc(ood.mutual_information, own.mutual_information)
        ),
    )


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean by the central limit theorem; the mean for one value."""
    mean = float(values.mean())
    if len(values) == 1:
        return mean, mean
    half = _Z * float(values.std(ddof=1)) / sqrt(len(values))
    return mean - half, mean + half


def _anytime(
    variant: Variant,
    images: Images,
    full: Prediction,
    most: int,
    seed: int | None,
    confidence: float,
    report: Callable[[str], None],
) -> AnytimeRow:
    parts = []
    samples = variant.draws(most)
    seed = seed if variant.session.stochastic else None
    for x in _inputs(variant, images.pixels):
        parts.append(
            variant.session.predict_until(x, confidence=confidence, max_samples=samples, seed=seed)
        )
        report(variant.name)
    found = _joined(parts)
    right = int((found.label == images.labels).sum())
    total = len(images.labels)
    low, high = wilson_interval(right, total)
    full_accuracy = float((full.label == images.labels).mean())
    return AnytimeRow(
        variant=variant.name,
        confidence=confidence,
        max_samples=samples,
        mean_samples=float(found.samples_used.mean()),
        accuracy=right / total,
        confidence_low=low,
        confidence_high=high,
        full_accuracy=full_accuracy,
        kept=right / total / full_accuracy if full_accuracy else 1.0,
        changed=float((found.label != full.label).mean()),
    )


def _curves(name: str, networks: int, own: Prediction, labels: NDArray[np.int64]) -> Curves:
    correct = own.label == labels
    coverage, risk = thinned(*risk_coverage(own.probability, correct))
    return Curves(
        variant=name,
        networks=networks,
        reliability=tuple(reliability(own.probability, correct)),
        coverage=tuple(coverage),
        risk=tuple(risk),
    )
