"""Rewrites operations in forms that torch's ONNX exporter knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten

SQUEEZES = (aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims)


class Spelled(TorchFunctionMode):
    """Replaces functions that torch computes in a way that it cannot write as ONNX."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.nn.functional.pad, torch._C._nn.pad) and isinstance(args[0], Tensor):
            amounts = args[1] if len(args) > 1 else kwargs["pad"]
            mode = args[2] if len(args) > 2 else kwargs.get("mode")
            if mode == "circular" and min(amounts) >= 0:
                return _circular(args[0], amounts)
        if func is functional.batch_norm:
            return _batch_norm(*args, **kwargs)
        if func is functional.instance_norm:
            return _instance_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Where no statistics are kept, with those of the very batch."""
    if training:
        return _normalised(x, weight, bias, (0, *range(2, x.ndim)), eps)
    return functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if use_input_stats:
        return _normalised(x, weight, bias, tuple(range(2, x.ndim)), eps)
    return functional.instance_norm(
        x, running_mean, running_var, weight, bias, False, momentum, eps
    )


def _normalised(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float
) -> Tensor:
    """x [N, C, ...] less its mean over axes, by its standard deviation there; affine in C."""
    difference = x - x.mean(axes, keepdim=True)
    result = difference / torch.sqrt((difference * difference).mean(axes, keepdim=True) + eps)
    shape = (1, -1, *[1] * (x.ndim - 2))
    if weight is not None:
        result = result * weight.reshape(shape)
    return result if bias is None else result + bias.reshape(shape)


def _circular(x: Tensor, amounts: Sequence[int]) -> Tensor:
    """The last axes continued periodically; amounts: before and after, last axis first."""
    for index in range(len(amounts) // 2):
        axis = x.ndim - 1 - index
        before, after = amounts[2 * index], amounts[2 * index + 1]
        size = x.shape[axis]
        parts = [x.narrow(axis, size - before, before), x, x.narrow(axis, 0, after)]
        x = torch.cat([part for part in parts if part.shape[axis]], axis)
    return x


def spelled(
    func: Any, operands: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The operation as torch's ONNX exporter knows it."""
    if func is aten.native_batch_norm.default:
        return aten._native_batch_norm_legit_no_training.default, (*args[:5], *args[6:]), kwargs
    if func in (aten.index_put_.default, aten.index_put.default):
        # s[s == 0] = 1
        indices, value = args[1], operands[-1]
        mask = operands[1] if len(operands) == 3 else None
        single = len(indices) == 1 and mask is not None and mask.dtype == torch.bool
        if single and value.numel() == 1 and mask is not None and mask.shape == operands[0].shape:
            masked = (
                aten.masked_fill_.Tensor
                if func is aten.index_put_.default
                else aten.masked_fill.Tensor
            )
            return masked, (args[0], indices[0], args[2]), {}
    if func is aten.copy_.default:
        return func, args[:2], {}
    if func in SQUEEZES:
        # torch leaves axes as they are whose size is not 1; ONNX refuses them.
        shape = operands[0].shape
        asked = args[1] if len(args) > 1 else range(len(shape))
        axes = [asked] if isinstance(asked, int) else list(asked)
        return aten.squeeze.dims, (args[0], [axis for axis in axes if shape[axis] == 1]), {}
    return func, args, kwargs


def out_of_place(target: Any) -> Any:
    """`add` for `add_`, where torch has it with the same arguments; else the operation itself."""
    name, _, overload = target.name().removeprefix("aten::").partition(".")
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    found = getattr(packet, overload or "default", None)
    return found if found is not None else target
