"""How a network samples its signs, for files that sample them on the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sbn_converters.onnx.noise import Draw, NoiseTable
from sbn_deploy.nn import StochasticSign
from sbn_deploy.nn.noise import Noise


def stochastic_signs(model: nn.Module) -> dict[str, Draw]:
    """By name of each stochastic sign of the model, its noise and temperature."""
    tables: dict[Noise, NoiseTable] = {}
    found: dict[str, Draw] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, StochasticSign):
            if module.noise not in tables:
                tables[module.noise] = noise_table(module.noise)
            one = torch.ones((), dtype=torch.float64)
            scale = float(module.scaled(one).detach())
            found[name] = Draw(tables[module.noise], scale)
    return found


def noise_table(noise: Noise) -> NoiseTable:
    """The noise's distribution function as the device evaluates it."""

    def cdf(a: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = noise.cdf(torch.from_numpy(np.ascontiguousarray(a))).numpy()
        return values

    return NoiseTable.of(cdf)
