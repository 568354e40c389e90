"""Scores of a trained network in the forms in which it is used."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import set_eval_forward
from sbn_deploy.nn.kinds import has_our_layers
from sbn_deploy.train.evaluation import evaluate


def score(
    model: nn.Module, images: Dataset, *, members: int, seed: int, calibration: Tensor | None
) -> dict[str, dict[str, Any]]:
    """Accuracy and likelihood on `images` by the form of the network.

    - fp32: a twin, or any other network without our layers, as it is.
    - thresholded: the mode of every weight, deterministic activations.
    - noisy: the mode of every weight, `members` samples of the activations.
    - ensemble: `members` samples of the weights, deterministic activations.

    Args:
        model: in evaluation mode.
        seed: of the samples.
        calibration: normalised training images for the batch-norm statistics of
            the deterministic forms, if they are to be estimated again.
    """
    inputs, labels = torch.from_numpy(images.inputs()), torch.from_numpy(images.labels)
    if not has_our_layers(model):
        return {"fp32": asdict(evaluate([model], inputs, labels))}
    noisy = copy.deepcopy(model)
    set_eval_forward(noisy, activations="sampled")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sampled_activations = evaluate([noisy] * members, inputs, labels)
    threshold = materialize(model, calibration=calibration)
    ensemble = materialize(
        model, weights="sample", members=members, seed=seed, calibration=calibration
    )
    return {
        "thresholded": asdict(evaluate(threshold, inputs, labels)),
        "noisy": {"members": members, **asdict(sampled_activations)},
        "ensemble": {"members": members, **asdict(evaluate(ensemble, inputs, labels))},
    }
