"""Scores of a trained network in the forms in which it is used."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import set_eval_forward
from sbn_deploy.nn.kinds import has_our_layers
from sbn_deploy.train.evaluation import evaluate
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
        report: is called after each of `steps` networks.
    """
    inputs, targets = torch.from_numpy(images.inputs()), images.labels
    if not has_our_layers(model):
        return {"fp32": evaluate([model], inputs, targets, head, report)}
    noisy = copy.deepcopy(model)
    set_eval_forward(noisy, activations="sampled")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sampled_activations = evaluate([noisy] * members, inputs, targets, head, report)
    threshold = materialize(model, calibration=calibration)
    ensemble = materialize(
        model, weights="sample", members=members, seed=seed, calibration=calibration
    )
    return {
        "thresholded": evaluate(threshold, inputs, targets, head, report),
        "noisy": {"members": members, **sampled_activations},
        "ensemble": {"members": members, **evaluate(ensemble, inputs, targets, head, report)},
    }
