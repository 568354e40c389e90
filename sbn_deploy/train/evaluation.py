"""What one network or an ensemble answers, and its scores."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sbn_deploy.data import Dataset
from sbn_deploy.nn import set_eval_forward
from sbn_deploy.train.head import Head
from sbn_deploy.train.readers import CPU, part_count, parts

# Activations of a batch stay in the cache, and channels last is the faster layout.
BATCH = 64


class Answer(Protocol):
    """A way to run networks on a data set: `in_torch`, or by our kernels."""

    def __call__(
        self,
        networks: Sequence[nn.Module],
        images: Dataset,
        head: Head,
        *,
        samples: int = 0,
        seed: int = 0,
        report: Callable[[], None] = ...,
    ) -> NDArray[np.float32]:
        """What the networks answer on average, [N, ...].

        Args:
            networks: in evaluation mode.
            samples: of the activations of one network; 0 where they are deterministic.
            seed: of the samples.
            report: is called after each network and sample.
        """
        ...


def in_torch(
    networks: Sequence[nn.Module],
    images: Dataset,
    head: Head,
    *,
    samples: int = 0,
    seed: int = 0,
    report: Callable[[], None] = lambda: None,
    device: torch.device = CPU,
) -> NDArray[np.float32]:
    """Runs networks in torch, see `Answer`. The caller's random generators are left as they were.

    device: where copies of them run.
    """
    networks = [copy.deepcopy(network).to(device) for network in networks]
    if not samples:
        return of_parts(networks, images, head, device, report)
    (noisy,) = networks
    set_eval_forward(noisy, activations="sampled")
    with torch.random.fork_rng(devices=[] if device == CPU else [device]):
        torch.manual_seed(seed)
        return of_parts([noisy] * samples, images, head, device, report)


def of_parts(
    members: Sequence[nn.Module],
    images: Dataset,
    head: Head,
    device: torch.device = CPU,
    report: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """What the members answer on average, [N, ...]; images in storage are read part by part.

    report: is called as often as there are members.
    """
    found = []
    calls = count(1)
    every = part_count(images)

    def member_done() -> None:
        if next(calls) % every == 0:
            report()

    for part in parts(images):
        inputs = torch.from_numpy(part.inputs()).to(device)
        found.append(answers(members, inputs, head, member_done).cpu().numpy())
    return np.concatenate(found)


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
