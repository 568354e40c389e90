"""What every network of this package has in common, and the registry of networks.

A network is written once, against a `Layers` factory. With `BinaryLayers` it
is a stochastic binary network; with `RealLayers` it is the fp32 twin of the
same shape.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Literal, Protocol

from torch import nn

from sbn_deploy.nn import noise as noises
from sbn_deploy.nn.activation import StochasticSign
from sbn_deploy.nn.binary import BinaryConv2d, BinaryLinear
from sbn_runtime.errors import ConfigError

Kind = Literal["sbn", "fp32"]


class Layers(Protocol):
    """Makes the layers that differ between a binary network and its twin."""

    kind: Kind

    def conv2d(
        self, inputs: int, outputs: int, kernel: int, *, padding: int, padding_value: float
    ) -> nn.Module:
        """A convolution without bias; the twin pads with zeros."""

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        """A linear layer without bias."""

    def activation(self) -> nn.Module:
        """The nonlinearity that follows a batch-norm."""


class BinaryLayers:
    """Bernoulli weights and stochastic signs."""

    kind: Kind = "sbn"

    def __init__(self, weight_noise: str, activation_noise: str) -> None:
        self.weight_noise = noises.get(weight_noise)
        self.activation_noise = noises.get(activation_noise)

    def conv2d(
        self, inputs: int, outputs: int, kernel: int, *, padding: int, padding_value: float
    ) -> nn.Module:
        return BinaryConv2d(
            inputs,
            outputs,
            kernel,
            padding=padding,
            padding_value=padding_value,
            noise=self.weight_noise,
        )

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        return BinaryLinear(inputs, outputs, noise=self.weight_noise)

    def activation(self) -> nn.Module:
        return StochasticSign(self.activation_noise)


class RealLayers:
    """Real weights and rectified linear units."""

    kind: Kind = "fp32"

    def conv2d(
        self, inputs: int, outputs: int, kernel: int, *, padding: int, padding_value: float
    ) -> nn.Module:
        return nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        return nn.Linear(inputs, outputs, bias=False)

    def activation(self) -> nn.Module:
        return nn.ReLU()


class Network(nn.Module):
    """Base of all networks: images [N, C, H, W] float32 -> logits [N, K].

    A subclass takes a `Layers` and its own JSON-able keyword arguments, among
    them `channels`, `size` (height and width of the images) and `classes`:

        class MyNet(Network, arch="my-net"):
            def __init__(self, layers, *, channels=1, size=8, classes=10): ...
            def forward(self, x): ...
    """

    arch: ClassVar[str]
    kind: Kind
    config: dict[str, Any]

    def __init_subclass__(cls, *, arch: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        taken = _REGISTRY.get(arch)
        if taken and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(f"an architecture named {arch!r} exists; choose another name")
        cls.arch = arch
        _REGISTRY[arch] = cls


_REGISTRY: dict[str, type[Network]] = {}


def names() -> tuple[str, ...]:
    """Names of all registered architectures."""
    return tuple(_REGISTRY)


def create(
    arch: str, *, weight_noise: str = "logistic", activation_noise: str = "logistic", **config: Any
) -> Network:
    """A new stochastic binary network, its latents drawn from torch's generator.

    Raises:
        ConfigError: unknown architecture, noise or configuration key.
    """
    network = _build(arch, BinaryLayers(weight_noise, activation_noise), config)
    network.config |= {"weight_noise": weight_noise, "activation_noise": activation_noise}
    return network


def create_twin(arch: str, **config: Any) -> Network:
    """The fp32 twin of the same shape; the noises in `config` do not concern it.

    Raises:
        ConfigError: unknown architecture or configuration key.
    """
    shape = {key: config[key] for key in config.keys() - {"weight_noise", "activation_noise"}}
    return _build(arch, RealLayers(), shape)


def _build(arch: str, layers: Layers, config: dict[str, Any]) -> Network:
    if arch not in _REGISTRY:
        raise ConfigError(f"unknown architecture {arch!r}; choose one of {', '.join(names())}")
    constructor = _REGISTRY[arch]
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    known = {parameter.name: parameter.default for parameter in parameters}
    unknown = config.keys() - known.keys()
    if unknown:
        raise ConfigError(
            f"{arch} has no setting {', '.join(sorted(unknown))}; it has {', '.join(known)}"
        )
    settings = known | config
    missing = [name for name, value in settings.items() if value is inspect.Parameter.empty]
    if missing:
        raise ConfigError(f"{arch} needs {', '.join(missing)}")
    network = constructor(layers, **settings)
    network.kind = layers.kind
    network.config = settings
    return network
