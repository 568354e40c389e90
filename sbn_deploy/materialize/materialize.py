"""Fix the weights of a stochastic binary network and make its activations deterministic."""

from __future__ import annotations

import copy
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from sbn_deploy.materialize.batchnorm import reestimate
from sbn_deploy.nn import BinaryLayer, Int8Conv2d, SignActivation
from sbn_deploy.nn.estimator import sign
from sbn_runtime.errors import ArtifactError, ConfigError

Weights = Literal["threshold", "sample"]
Activations = Literal["deterministic", "stochastic"]


def materialize(
    model: nn.Module,
    *,
    weights: Weights = "threshold",
    members: int = 1,
    seed: int = 0,
    calibration: Tensor | None = None,
) -> list[nn.Module]:
    """Deterministic networks with fixed -1/+1 weights, in evaluation mode.

    Args:
        model: any module built from our layers; it is left as it was. A module
            without binary layers gives copies of itself.
        weights: "threshold" takes the mode sign(eta) of every weight; "sample"
            draws w = +1 with probability F(eta), independently per member.
        members: how many networks, at least 1; only 1 for "threshold".
        seed: 0 to 2^64 - 1. Member k of one seed is the same network whatever
            `members` is.
        calibration: normalised training inputs [N, C, H, W] from which the
            batch-norm statistics of each member are estimated again; without
            it they stay as trained.

    Raises:
        ConfigError: an argument is out of range.
        ArtifactError: latent weights are not finite.
    """
    if weights not in get_args(Weights):
        raise ConfigError(
            f"weights is {weights!r}; it must be one of {', '.join(get_args(Weights))}"
        )
    if members < 1:
        raise ConfigError(f"members is {members}; it must be at least 1")
    if weights == "threshold" and members > 1:
        raise ConfigError("thresholded weights give one network; use sampled ones for an ensemble")
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed is {seed}; it must be between 0 and 2^64 - 1")
    return [_member(model, weights, seed, index, calibration) for index in range(members)]


def _member(
    model: nn.Module, weights: Weights, seed: int, index: int, calibration: Tensor | None
) -> nn.Module:
    replacements: dict[nn.Module, nn.Module] = {}
    layers = 0
    for name, module in model.named_modules():
        if isinstance(module, (SignActivation, Int8Conv2d)):
            replacements[module] = module.fixed()
        elif isinstance(module, BinaryLayer):
            latent = module.latent.detach()
            if not latent.isfinite().all():
                raise ArtifactError(f"latent weights of layer {name!r} are not finite; train again")
            if weights == "threshold":
                weight = sign(latent)
            else:
                weight = _sample(module, seed, index, layers)
            replacements[module] = module.fixed(weight)
            layers += 1

    # deepcopy takes what its memo holds for a copy: each layer is replaced
    # wherever the network refers to it.
    memo = {id(old): new for old, new in replacements.items()}
    member = copy.deepcopy(model, memo).eval().requires_grad_(False)
    # Training may have used another layout; results shall not depend on it.
    member.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if calibration is not None:
        reestimate(member, calibration)
    return member


def _sample(layer: BinaryLayer, seed: int, member: int, index: int) -> Tensor:
    """One draw of the weights of a layer, a function of (seed, member, layer, element)."""
    latent = layer.latent.detach()
    probability = layer.noise.cdf(latent.double())
    key = np.array([seed, member], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=[0, 0, 0, index])
    bits = generator.random_raw(latent.numel()) >> np.uint64(11)
    uniform = torch.from_numpy(bits.astype(np.float64) * 2.0**-53).reshape(latent.shape)
    return torch.where(uniform < probability, 1.0, -1.0).to(latent.dtype)
