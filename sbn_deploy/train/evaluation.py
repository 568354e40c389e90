"""Scores of one network or of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sbn_deploy.train.head import Head

# Activations of a batch stay in the cache, and channels last is the faster layout.
BATCH = 64


@torch.inference_mode()
def answers(
    members: Sequence[nn.Module],
    inputs: Tensor,
    head: Head,
    report: Callable[[], None] = lambda: None,
) -> Tensor:
    """What the members answer on average, float32 [N, ...], to inputs [N, ...].

    report: is called after each member.
    """
    if inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    total = torch.zeros(())
    for member in members:
        parts = [head.answer(member(batch)) for batch in torch.split(inputs, BATCH)]
        total = total + torch.cat(parts)
        report()
    return total / len(members)


def evaluate(
    members: Sequence[nn.Module],
    inputs: Tensor,
    targets: NDArray[np.generic],
    head: Head,
    report: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """The metrics of the task, by their keys, of the averaged answers.

    Args:
        targets: as the data set has them, [N, ...].
        report: is called after each member.
    """
    found = answers(members, inputs, head, report).cpu().numpy()
    return head.objective.scores(found, targets)
