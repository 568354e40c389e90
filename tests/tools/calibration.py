"""What calibration is worth: the figures of docs/uncertainty.md, measured on a checkpoint's forms.

    python -m tests.tools.calibration CHECKPOINT --data SET [-o FILE]

Each form answers all test images once. Then half of them, drawn anew for each split, are what
`sbn calibrate` would be given, and the figures are of the other half. Writes tables in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from sbn_deploy import data
from sbn_deploy.calibrate import fit, measure
from sbn_deploy.data import Dataset
from sbn_deploy.evaluate.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from sbn_deploy.evaluate.ranking import auroc
from sbn_deploy.evaluate.shift import SHIFTS, shifted
from sbn_deploy.evaluate.temperature import best_offsets, best_temperature
from sbn_deploy.export import export_checkpoint
from sbn_deploy.materialize import Form
from sbn_runtime import Session, conformal
from sbn_runtime.calibration import tempered
from sbn_runtime.files import write_atomically

FORMS = {
    "thresholded": Form(),
    "8 members": Form(weights="sample", members=8),
    "8 noise samples": Form(activations="stochastic", samples=8),
    "8 members, 8 noise samples": Form(
        weights="sample", members=8, activations="stochastic", samples=8
    ),
}
SPLITS, COVERAGE_SPLITS = 5, 100
LEVELS = (0.8, 0.9, 0.95)
SHIFTED = 1000
MILD = ("noise:0.05", "noise:0.1", "blur:0.03", "rotate:0.05", "contrast:0.5")
"""Shifts that leave most images recognisable, for coverage where nothing is guaranteed."""
FORECASTS = 1000
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Of one form: averaged probabilities [N, K] at its default, u [N], energies [N]."""

    mean: Floats
    u: Floats
    energy: Floats


def answers(session: Session, images: Dataset) -> Answers:
    """What a form says to all images."""
    wanted = measure.counts(session)
    samples = None if wanted.samples is None else wanted.default // wanted.members
    only = replace(wanted, networks=(wanted.default,), samples=samples)
    found = measure.classify(session, images, only, "energy", lambda _: None)
    return Answers(found.means[0], found.u, found.scores[0])


def splits(count: int, images: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Halves to calibrate and to measure on."""
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(images)
        yield order[: images // 2], order[images // 2 :]


def ece(p: Floats, labels: Labels) -> float:
    """Expected calibration error."""
    return expected_calibration_error(reliability(p.max(axis=1), p.argmax(axis=1) == labels))


def perfect(p: Floats) -> float:
    """The 95 % quantile of the ECE of a forecaster whose confidences these are, and come true."""
    rng = np.random.default_rng(0)
    confidence = p.max(axis=1)
    found = [
        expected_calibration_error(reliability(confidence, rng.random(len(p)) < confidence))
        for _ in range(FORECASTS)
    ]
    return float(np.quantile(found, 0.95))


def confidence_rows(known: dict[str, Answers], labels: Labels, *, offsets: bool) -> Iterator[str]:
    """Scores at the fitted temperature, on the other half."""
    base: dict[int, Floats] = {}
    for name, found in known.items():
        rows, differences, right, hits = [], [], [], []
        for number, (own, other) in enumerate(splits(SPLITS, len(labels))):
            o = best_offsets(found.mean[own], labels[own]) if offsets else 0.0
            T = best_temperature(found.mean[own], labels[own], o)
            p, raw, true = tempered(found.mean[other], T, o), found.mean[other], labels[other]
            losses = negative_log_likelihood(p, true)
            base.setdefault(number, losses)
            differences.append(losses - base[number])
            hits.append((p.argmax(axis=1) == true) * 1.0 - (raw.argmax(axis=1) == true))
            right.append((p.argmax(axis=1) == true).mean())
            rows.append([ece(raw, true), ece(p, true), perfect(p), T, losses.mean()])
        mean = np.mean(rows, axis=0)
        low, high = _interval(differences)
        change = "" if name == next(iter(known)) else f"{low:+.4f} to {high:+.4f}"
        above = sum(row[1] > row[2] for row in rows)
        low, high = _interval(hits)
        yield (
            f"| {name} | {np.mean(right):.2%} | {low:+.2%} to {high:+.2%} | {mean[0]:.2%}"
            f" | {mean[1]:.2%} | {mean[2]:.2%} | {above} of {SPLITS} | {mean[3]:.3f}"
            f" | {mean[4]:.4f} | {change} |"
        )


def _interval(parts: list[Floats]) -> tuple[float, float]:
    """95 % of the mean over splits, as wide as that of one split: they share their images."""
    half = 1.96 * np.mean([part.std(ddof=1) / sqrt(len(part)) for part in parts])
    mean = float(np.mean([part.mean() for part in parts]))
    return mean - half, mean + half


def coverage_rows(known: dict[str, Answers], labels: Labels) -> Iterator[str]:
    """Coverage and sizes of sets, over many splits, calibrated as `sbn calibrate` does."""
    wanted = measure.Counts((1,), 1, None, 1)
    for name, found in known.items():
        inside: dict[tuple[str, float], list[float]] = {}
        sizes: dict[tuple[str, float], list[float]] = {}
        for own, other in splits(COVERAGE_SPLITS, len(labels)):
            half = measure.Classified(found.mean[np.newaxis, own], np.empty(0), found.u[own])
            scaling = fit.scaling(half.means, labels[own], wanted)
            levels = fit.levels(len(own))
            limits: dict[str, Floats] = {
                method: table[0]
                for method, table in fit.set_quantiles(half, labels[own], scaling).items()
            }
            fitted = fit.cross_fitted(found.mean[own], labels[own], scaling.of_folds)
            by_class = fit.class_quantiles(fitted, labels[own], levels)
            if by_class is not None:
                limits[conformal.CLASS_CONDITIONAL] = by_class
            p = tempered(found.mean[other], float(scaling.temperatures[0]), scaling.offsets)
            for method, limit in limits.items():
                scores = conformal.scores(p, method, found.u[other])
                for level in LEVELS:
                    sets = scores <= limit[levels.index(level)]
                    hit = sets[np.arange(len(other)), labels[other]].mean()
                    inside.setdefault((method, level), []).append(hit)
                    sizes.setdefault((method, level), []).append(sets.sum(axis=1).mean())
        for method in conformal.METHODS:
            cells = []
            for level in LEVELS:
                covered, size = inside[method, level], sizes[method, level]
                spread = np.std(covered) / sqrt(len(covered))
                cells.append(f"{np.mean(covered):.2%} ± {2 * spread:.2%} | {np.mean(size):.2f}")
            yield f"| {name} | {method} | {' | '.join(cells)} |"


def band(images: int) -> str:
    """Between which ends the mean coverage lies, were there no chance."""
    n = images // 2
    ends = [(ceil((n + 1) * c - 1e-9) / (n + 1)) for c in LEVELS]
    return ", ".join(f"{end:.2%}" for end in ends)


def unknown_rows(
    sessions: dict[str, Session], known: dict[str, Answers], images: Dataset
) -> Iterator[str]:
    """AUROC of each score on each shift, and the share of ordinary images that is refused."""
    part = images.evenly(SHIFTED)
    for name, session in sessions.items():
        wanted = measure.counts(session)
        own = measure.ood_scores(session, part, wanted, lambda _: None)
        shifts = [
            measure.ood_scores(session, shifted(part, shift), wanted, lambda _: None)
            for shift in SHIFTS
        ]
        refused = []
        for calibrating, other in splits(SPLITS, len(images)):
            energy = known[name].energy
            limit = conformal.quantile(energy[calibrating], 0.95)
            refused.append((energy[other] > limit).mean())
        for score, values in own.items():
            found = [auroc(scores[score], values) for scores in shifts]
            share = f"{np.mean(refused):.2%}" if score == "energy" else ""
            yield (
                f"| {name} | {score.replace('_', ' ')}"
                f" | {' | '.join(f'{value:.3f}' for value in found)} | {np.mean(found):.3f}"
                f" | {share} |"
            )


def shifted_rows(
    sessions: dict[str, Session], known: dict[str, Answers], images: Dataset
) -> Iterator[str]:
    """Coverage and sizes of the sets at 90 % on shifted images of the half not calibrated on."""
    own, other = next(splits(1, len(images)))
    part = images.take(np.sort(other)).evenly(SHIFTED)
    for name, session in sessions.items():
        found, labels = known[name], images.labels[own]
        T = best_temperature(found.mean[own], labels)
        scores = conformal.scores(tempered(found.mean[own], T), conformal.LAC)
        limit = conformal.quantile(scores[np.arange(len(own)), labels], 0.9)
        cells = []
        for shift in (None, *MILD):
            changed = part if shift is None else shifted(part, shift)
            p = tempered(answers(session, changed).mean, T)
            sets = conformal.scores(p, conformal.LAC) <= limit
            inside = sets[np.arange(len(part)), part.labels]
            cells.append(f"{inside.mean():.1%}, {sets.sum(axis=1).mean():.2f}")
        yield f"| {name} | {' | '.join(cells)} |"


def scaling_rows(
    sessions: dict[str, Session], known: dict[str, Answers], images: Dataset
) -> Iterator[str]:
    """NLL on the other half, by where a temperature is applied, and of vector scaling."""
    labels = images.labels
    for name in ("8 members", "8 noise samples"):
        session, mean = sessions[name], known[name].mean
        logits = np.concatenate(
            [
                session.run(session.preprocess(images.images[start : start + 500]))["member_logits"]
                for start in range(0, len(images), 500)
            ],
            axis=1,
        ).astype(np.float64)
        found = []
        for own, other in splits(SPLITS, len(labels)):
            T = best_temperature(mean[own], labels[own])
            each = _temperature_of_each(logits[:, own], labels[own])
            offsets = best_offsets(mean[own], labels[own])
            with_offsets = best_temperature(mean[own], labels[own], offsets)
            candidates = (
                tempered(mean[other], T),
                softmax(logits[:, other] / each, axis=2).mean(axis=0),
                tempered(mean[other], with_offsets, offsets),
                _vector_scaling(mean[own], labels[own], mean[other]),
            )
            found.append([negative_log_likelihood(p, labels[other]).mean() for p in candidates])
        yield f"| {name} | {' | '.join(f'{value:.4f}' for value in np.mean(found, axis=0))} |"


def _temperature_of_each(logits: Floats, labels: Labels) -> float:
    """The temperature of each network's logits [R, N, K] at which labels are most likely."""

    def loss(logarithm: float) -> float:
        p = softmax(logits / np.exp(logarithm), axis=2).mean(axis=0)
        return float(negative_log_likelihood(p, labels).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def _vector_scaling(own: Floats, labels: Labels, other: Floats) -> Floats:
    """Guo et al. (2017): a slope and an offset for each class, by likelihood alone."""
    logs, count = np.log(np.maximum(own, 1e-300)), own.shape[1]
    truth = np.eye(count)[labels]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[:count] * logs + parameters[count:]
        error = softmax(z, axis=1) - truth
        gradient = np.append((error * logs).sum(axis=0), error.sum(axis=0))
        return float(-(log_softmax(z, axis=1) * truth).sum()), gradient

    start = np.append(np.ones(count), np.zeros(count))
    w, b = np.split(minimize(loss, start, jac=True, method="L-BFGS-B").x, 2)
    return softmax(w * np.log(np.maximum(other, 1e-300)) + b, axis=1)


def count_rows(sessions: dict[str, Session], images: Dataset) -> Iterator[str]:
    """Temperatures by the number of noise samples, and what they would be between others."""
    session = sessions["8 noise samples"]
    wanted = measure.counts(session)
    means = measure.classify(session, images, wanted, "energy", lambda _: None).means
    found = [best_temperature(mean, images.labels) for mean in means]
    inverse = 1 / np.array(wanted.networks)
    for k, (count, T) in enumerate(zip(wanted.networks, found, strict=True)):
        between = ""
        if 0 < k < len(found) - 1:
            share = (inverse[k - 1] - inverse[k]) / (inverse[k - 1] - inverse[k + 1])
            between = f"{found[k - 1] + share * (found[k + 1] - found[k - 1]):.3f}"
        yield f"| {count} | {T:.3f} | {between} |"


def report(checkpoint: Path, spec: str) -> str:
    """All tables."""
    images = data.load(spec, "test")
    labels = images.labels
    known: dict[str, Answers] = {}
    sessions: dict[str, Session] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, form) in enumerate(FORMS.items()):
            path = Path(folder) / f"{number}.onnx"
            export_checkpoint(checkpoint, path, form)
            sessions[name] = Session(path, threads=1)
            known[name] = answers(sessions[name], images)
            print(f"{name}: answered", file=sys.stderr, flush=True)
        unknown = list(unknown_rows(sessions, known, images))
        elsewhere = list(shifted_rows(sessions, known, images))
        scaled = list(scaling_rows(sessions, known, images))
        temperatures = list(count_rows(sessions, images))
    n = len(images)
    head = (
        "| form | accuracy | change by calibration | ECE before | ECE | of a perfect forecaster,"
        " 95 % quantile | splits above it | temperature | NLL | change against thresholded |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    levels = " | ".join(f"coverage at {level:.0%} | size" for level in LEVELS)
    lines = [
        f"# Calibration of {checkpoint.parent.name}",
        "",
        f"By `python -m tests.tools.calibration`: {n:,} test images of {images.name}, calibrated on"
        f" one half and measured on the other; means over {SPLITS} splits, intervals of 95 %.",
        "",
        "A temperature alone:",
        "",
        head,
        *confidence_rows(known, labels, offsets=False),
        "",
        "With offsets of classes:",
        "",
        head,
        *confidence_rows(known, labels, offsets=True),
        "",
        "NLL by how the average is scaled:",
        "",
        "| form | temperature of the average | of each network | with offsets | vector scaling |",
        "|---|---:|---:|---:|---:|",
        *scaled,
        "",
        "Temperatures fitted on all images by the number of noise samples, and those that the"
        " neighbours would give in between:",
        "",
        "| samples | temperature | between its neighbours |",
        "|---:|---:|---:|",
        *temperatures,
        "",
        f"Sets, over {COVERAGE_SPLITS} splits, as `sbn calibrate` fits them, with offsets where"
        f" they win. Theory: {band(n)}, unless the most probable class alone is right more often.",
        "",
        f"| form | sets | {levels} |",
        "|---|---|" + "---:|" * (2 * len(LEVELS)),
        *coverage_rows(known, labels),
        "",
        f"Coverage and sizes of lac sets at 90 % on {min(SHIFTED, n // 2):,} images of the half"
        " that was not calibrated on, as they are and shifted, where nothing is guaranteed.",
        "",
        f"| form | as they are | {' | '.join(MILD)} |",
        "|---|---:|" + "---:|" * len(MILD),
        *elsewhere,
        "",
        f"AUROC of unknown images: {min(SHIFTED, n):,} images, and the same ones shifted; and the"
        " share of ordinary images that is refused where 5 % was asked for.",
        "",
        f"| form | score | {' | '.join(SHIFTS)} | mean | refused |",
        "|---|---|" + "---:|" * (len(SHIFTS) + 2),
        *unknown,
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", required=True, help="data set, as cifar10:PATH")
    parser.add_argument("-o", "--output", type=Path, help="default: print only")
    args = parser.parse_args()
    text = report(args.checkpoint, args.data)
    print(text)
    if args.output is not None:
        write_atomically(args.output, text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
