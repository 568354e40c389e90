"""Scores of a trained network in the forms in which it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.materialize import materialize
from sbn_deploy.nn.kinds import has_our_layers
from sbn_deploy.train.evaluation import Answer, in_torch
from sbn_deploy.train.head import Head


def steps(model: nn.Module, members: int) -> int:
    """How many networks `score` runs."""
    return 1 + 2 * members if has_our_layers(model) else 1


def score(
    model: nn.Module,
    images: Dataset,
    head: Head,
    *,
    members: int,
    seed: int,
    calibration: Tensor | None,
    answer: Answer = in_torch,
    report: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """The metrics of the task on `images` by the form of the network.

    - fp32: a twin, or any other network without our layers, as it is.
    - thresholded: the mode of every weight, deterministic activations.
    - noisy: the mode of every weight, `members` samples of the activations.
    - ensemble: `members` samples of the weights, deterministic activations.

    Args:
        model: in evaluation mode.
        head: what its output means.
        seed: of the samples.
        calibration: normalised training images for the batch-norm statistics of
            the deterministic forms, if they are to be estimated again.
        answer: how networks are run.
        report: is called after each of `steps` networks.
    """

    def scores(networks: Sequence[nn.Module], samples: int = 0) -> dict[str, float]:
        found = answer(networks, images, head, samples=samples, seed=seed, report=report)
        return head.objective.scores(found, images.labels)

    if not has_our_layers(model):
        return {"fp32": scores([model])}
    noisy = scores([model], members)
    threshold = materialize(model, calibration=calibration)
    ensemble = materialize(
        model, weights="sample", members=members, seed=seed, calibration=calibration
    )
    return {
        "thresholded": scores(threshold),
        "noisy": {"members": members, **noisy},
        "ensemble": {"members": members, **scores(ensemble)},
    }
