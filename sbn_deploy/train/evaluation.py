"""Accuracy and likelihood of one network or of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Activations of a batch stay in the cache, and channels last is the faster layout.
BATCH = 64


@dataclass(frozen=True)
class Scores:
    """Fraction of correct labels, in [0, 1], and mean negative log-likelihood in nats."""

    accuracy: float
    nll: float


@torch.no_grad()
def predict_proba(members: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Probabilities [N, K] averaged over the members, for inputs [N, C, H, W]."""
    if inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    total = torch.zeros(())
    for member in members:
        logits = torch.cat([member(batch) for batch in torch.split(inputs, BATCH)])
        total = total + logits.softmax(1)
    return total / len(members)


def evaluate(members: Sequence[nn.Module], inputs: Tensor, labels: Tensor) -> Scores:
    """Scores of the averaged probabilities; labels int64 [N]."""
    probabilities = predict_proba(members, inputs)
    correct = probabilities.argmax(1) == labels
    tiny = torch.finfo(probabilities.dtype).tiny
    nll = F.nll_loss(probabilities.clamp_min(tiny).log(), labels)
    return Scores(accuracy=correct.double().mean().item(), nll=nll.item())
