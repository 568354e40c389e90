"""Running a module without leaving a trace in it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from torch import Tensor, nn


@contextlib.contextmanager
def copied(module: nn.Module) -> Iterator[nn.Module]:
    """A copy whose state a forward may rewrite.

    Where a module cannot be copied, itself, put back afterwards.
    """
    inner = module.module if isinstance(module, nn.DataParallel) else module
    try:
        made = copy.deepcopy(inner)
    except Exception:
        made = None
    if made is not None:
        yield made.eval()
        return
    modules = list(inner.modules())
    kept = [
        (m, dict(m.__dict__), dict(m._parameters), dict(m._buffers), dict(m._modules))
        for m in modules
    ]
    weights = [(p, p.data) for p in inner.parameters()]
    try:
        for parameter, value in weights:
            parameter.data = value.clone()
        for m in modules:
            for group in (m.__dict__, m._buffers):
                tensors = {k: v for k, v in group.items() if isinstance(v, Tensor)}
                group.update({name: value.detach().clone() for name, value in tensors.items()})
        yield inner.eval()
    finally:
        for m, *groups in kept:
            attributes, parameters, buffers, children = groups
            m.__dict__.clear()
            m.__dict__.update(attributes)
            for now, before in (
                (m._parameters, parameters),
                (m._buffers, buffers),
                (m._modules, children),
            ):
                now.clear()
                now.update(before)
        for parameter, value in weights:
            parameter.data = value
