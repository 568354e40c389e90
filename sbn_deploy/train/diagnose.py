"""Finds where numbers stopped being finite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def finite_gradients(model: nn.Module) -> Tensor:
    """Whether all gradients are finite; a boolean on their device, which is not waited for."""
    return _norms(model)[1].isfinite().all()


def bad_gradient(model: nn.Module) -> str | None:
    """The last layer with a gradient that is not finite: the one nearest to the loss."""
    names, norms = _norms(model)
    finite = norms.isfinite().tolist()
    bad = [name for name, good in zip(names, finite, strict=True) if not good]
    return bad[-1].rpartition(".")[0] or bad[-1] if bad else None


def _norms(model: nn.Module) -> tuple[list[str], Tensor]:
    """The names of the parameters with a gradient, and its norms: one number of each shows all."""
    named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    norms = torch._foreach_norm([gradient for _, gradient in named])
    return [name for name, _ in named], torch.stack(norms)


@torch.no_grad()
def bad_layer(model: nn.Module, x: Tensor) -> str:
    """Where numbers go wrong for inputs x [N, C, H, W].

    The first layer with parameters or outputs that are not finite; if there is
    none, the last layer, whose outputs are too large for the loss.
    """
    bad: list[str] = []
    last = ""
    handles = []
    for name, module in model.named_modules():
        if next(module.children(), None) is not None:
            continue

        def check(module: nn.Module, _: Any, output: Tensor, name: str = name) -> None:
            nonlocal last
            own = [*module.parameters(recurse=False), output]
            if not all(tensor.isfinite().all() for tensor in own):
                bad.append(name)
            last = name

        handles.append(module.register_forward_hook(check))
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return bad[0] if bad else last
