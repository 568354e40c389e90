"""Fix the weights of a stochastic binary network and make its activations deterministic."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from sbn_deploy.materialize.batchnorm import reestimate
from sbn_deploy.nn import BinaryLayer, EightBit, Int8Conv2d, SignActivation
from sbn_deploy.nn.estimator import sign
from sbn_runtime.errors import ArtifactError, ConfigError

Weights = Literal["threshold", "sample"]
Activations = Literal["deterministic", "stochastic"]


MOST_MEMBERS = 4096
"""Each member is a network of its own, in memory and in the file."""


@dataclass(frozen=True)
class Form:
    """The form in which a stochastic binary network is deployed.

    Attributes:
        weights: "threshold" takes the more probable sign of each weight, "sample" samples
            w = +1 with the trained probability F(eta), independently for each member.
        members: how many networks, 1 to `MOST_MEMBERS`; only 1 for "threshold".
        seed: of sampled weights, 0 to 2^64 - 1. Member k of one seed is the same network
            whatever `members` is.
        activations: "stochastic" keeps the noise that signs were trained with.
        samples: of the noise, averaged over for each member.
        noise_seed: of the noise. Whoever runs the file may change it, and `samples`.

    Raises:
        ConfigError: a value is out of range.
    """

    weights: Weights = "threshold"
    members: int = 1
    seed: int = 0
    activations: Activations = "deterministic"
    samples: int = 1
    noise_seed: int = 0

    def __post_init__(self) -> None:
        for name, literal in (("weights", Weights), ("activations", Activations)):
            if getattr(self, name) not in get_args(literal):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; choose one of"
                    f" {', '.join(get_args(literal))}"
                )
        if not 1 <= self.members <= MOST_MEMBERS:
            raise ConfigError(f"members is {self.members:,}; it must be 1 to {MOST_MEMBERS:,}")
        if self.weights == "threshold" and self.members > 1:
            raise ConfigError(
                "thresholded weights give one network; use sampled weights for an ensemble"
            )
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed is {self.seed}; it must be between 0 and 2^64 - 1")

    @property
    def stochastic(self) -> bool:
        """Whether signs are sampled on the device."""
        return self.activations == "stochastic"


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
        weights, members, seed: see `Form`.
        calibration: normalised training inputs [N, C, H, W] from which the
            batch-norm statistics of each member are estimated again; without
            it they stay as trained.

    Raises:
        ConfigError: an argument is out of range.
        ArtifactError: latent weights are not finite.
    """
    form = Form(weights, members, seed)
    return [_member(model, form, index, calibration) for index in range(members)]


def _member(model: nn.Module, form: Form, index: int, calibration: Tensor | None) -> nn.Module:
    replacements: dict[nn.Module, nn.Module] = {}
    layers = 0
    for name, module in model.named_modules():
        if isinstance(module, (SignActivation, Int8Conv2d, EightBit)):
            replacements[module] = module.fixed()
        elif isinstance(module, BinaryLayer):
            latent = module.latent.detach()
            if not latent.isfinite().all():
                raise ArtifactError(f"latent weights of layer {name!r} are not finite; train again")
            if form.weights == "threshold":
                weight = sign(latent)
            else:
                weight = _sample(module, form.seed, index, layers)
            replacements[module] = module.fixed(weight)
            layers += 1

    # deepcopy takes what its memo holds for a copy: each layer is replaced
    # wherever the network refers to it.
    memo = {id(old): new for old, new in replacements.items()}
    member = copy.deepcopy(model, memo).eval().requires_grad_(False)
    # Training may have used another layout; results must not depend on it.
    member.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if calibration is not None:
        reestimate(member, calibration)
    return member


def _sample(layer: BinaryLayer, seed: int, member: int, index: int) -> Tensor:
    """One sample of the weights of a layer, a function of (seed, member, layer, element)."""
    latent = layer.latent.detach()
    probability = layer.noise.cdf(latent.double())
    key = np.array([seed, member], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=[0, 0, 0, index])
    bits = generator.random_raw(latent.numel()) >> np.uint64(11)
    uniform = torch.from_numpy(bits.astype(np.float64) * 2.0**-53).reshape(latent.shape)
    return torch.where(uniform < probability, 1.0, -1.0).to(latent.dtype)
