"""Chooses the arithmetic of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sbn_deploy.networks import Built, trial
from sbn_deploy.system import host

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
LARGE = 10_000_000
"""Multiply-accumulates for one input from which bfloat16 is chosen.

Smaller ones train in minutes anyway, and keep all bits.
"""


def chosen(built: Built, example: Tensor, device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 if the network is large and the device computes it fast, else float32.

    Args:
        example: inputs [N, ...].
    """
    fast = has_bfloat16(device) and _multiply_accumulates(built, example) >= LARGE
    return "bfloat16" if fast else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions that multiply bfloat16.

    Without them convolutions take many times as long as in float32. Of CPUs, only those of x86-64
    count: whether torch is faster with bfloat16 on others was not measured.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Windows has no name for them, and older versions of torch do not tell.
    told: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    names = host.cpu_features().union(name for name, has in told.items() if has)
    return not names.isdisjoint(INSTRUCTIONS)


def _multiply_accumulates(built: Built, example: Tensor) -> int:
    """For one input."""
    with FlopCounterMode(display=False) as counter:
        trial.answer(built, [example])
    return int(counter.get_total_flops()) // (2 * len(example))
