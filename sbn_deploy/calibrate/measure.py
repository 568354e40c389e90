"""What a file answers to held-out data, by the number of networks averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import Dataset
from sbn_deploy.train.readers import parts
from sbn_runtime import Session, conformal, ood
from sbn_runtime.calibrated import network_rows
from sbn_runtime.tasks import TASKS

BATCH = 64
MOST = 32
"""Networks that are averaged at most, unless the file averages more by default."""

Floats = NDArray[np.float64]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Counts:
    """The numbers of networks that a file is measured with.

    Attributes:
        networks: rising.
        default: as the file was exported, one of them.
        samples: noise samples for the most of them; None without noise.
        members: of the file.
    """

    networks: tuple[int, ...]
    default: int
    samples: int | None
    members: int


@dataclass(frozen=True)
class Classified:
    """Answers of a classifier to N images, for each of C counts of networks.

    Attributes:
        means: float64 [C, N, K], probabilities averaged over the networks.
        scores: float64 [C, N], of unknown images.
        u: float64 [N], `conformal.uniform` of the inputs.
    """

    means: Floats
    scores: Floats
    u: Floats


def counts(session: Session) -> Counts:
    """1, 2, 4, … networks up to the larger of `MOST` and the default, and the default itself."""
    members = int(session.metadata.get("members", 1))
    if not session.stochastic:
        return Counts(_doubling(members), members, None, members)
    samples = int(session.metadata["samples"])
    each = sorted({*_doubling(max(samples, MOST // members)), samples})
    return Counts(tuple(members * s for s in each), members * samples, each[-1], members)


def _doubling(most: int) -> tuple[int, ...]:
    """1, 2, 4, … and `most`."""
    powers = (1 << k for k in range(most.bit_length()))
    return tuple(sorted({*(power for power in powers if power <= most), most}))


def classify(
    session: Session, data: Dataset, wanted: Counts, score: str, report: Report
) -> Classified:
    """Raises what `Session.run` raises."""
    means, scores, u = [], [], []
    for x, rows, logits in _rows(session, data, wanted, report):
        means.append(np.stack([rows[:n].mean(axis=0) for n in wanted.networks]))
        scores.append(
            np.stack(
                [
                    ood.score(score, rows[:n], None if logits is None else logits[:n])
                    for n in wanted.networks
                ]
            )
        )
        u.append(conformal.uniform(x))
    return Classified(np.concatenate(means, 1), np.concatenate(scores, 1), np.concatenate(u))


def ood_scores(
    session: Session, data: Dataset, wanted: Counts, report: Report
) -> dict[str, Floats]:
    """Every score of unknown images that the file allows, [N], at its default of networks.

    A single network contradicts nobody, and energy needs logits.
    """
    n = wanted.default
    names = ood.SCORES if n > 1 else (ood.ENTROPY, ood.ENERGY)
    parts: dict[str, list[Floats]] = {}
    for _, rows, logits in _rows(session, data, wanted, report):
        for name in names:
            if name != ood.ENERGY or logits is not None:
                found = ood.score(name, rows[:n], None if logits is None else logits[:n])
                parts.setdefault(name, []).append(found)
    return {name: np.concatenate(found) for name, found in parts.items()}


def regress(session: Session, data: Dataset, wanted: Counts, report: Report) -> Floats:
    """Answers float64 [C, N, D] of a regression. Raises what `Session.run` raises."""
    task = TASKS["regression"]
    parts = []
    for x in _inputs(session, data, report):
        outputs = session.run(x, samples=wanted.samples)
        rows = outputs.get(task.rows, outputs[task.answer][np.newaxis]).astype(np.float64)
        rows = _by_sample(rows, wanted).reshape(len(rows), len(x), -1)
        parts.append(np.stack([rows[:n].mean(axis=0) for n in wanted.networks]))
    return np.concatenate(parts, axis=1)


def _rows(
    session: Session, data: Dataset, wanted: Counts, report: Report
) -> Iterator[tuple[NDArray[Any], Floats, NDArray[Any] | None]]:
    """By batch: input, probabilities [R, n, K] of the networks, and their logits."""
    for x in _inputs(session, data, report):
        rows, logits = network_rows(session.run(x, samples=wanted.samples))
        yield (
            x,
            _by_sample(rows, wanted),
            None if logits is None else _by_sample(logits, wanted),
        )


def _by_sample(rows: NDArray[Any], wanted: Counts) -> NDArray[Any]:
    """The rows [M S, …] with all members of a sample before the next sample."""
    if wanted.samples is None:
        return rows
    permuted = rows.reshape(wanted.members, wanted.samples, *rows.shape[1:]).swapaxes(0, 1)
    return np.ascontiguousarray(permuted).reshape(rows.shape)


def _inputs(session: Session, data: Dataset, report: Report) -> Iterator[NDArray[Any]]:
    """Batches in the form that the model takes; numbers as they are if it does not say how."""
    as_it_is = "preprocess" not in session.metadata and not data.pixels
    for part in parts(data):
        for start in range(0, len(part), BATCH):
            x = part.images[start : start + BATCH]
            yield x if as_it_is else session.preprocess(x)
            report(data.name)
