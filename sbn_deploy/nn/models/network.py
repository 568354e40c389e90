"""What every network of this package has in common, and the registry of networks.

A network is written once, against a `Layers` factory. With `BinaryLayers` it
is a stochastic binary network; with `RealLayers` it is the fp32 twin of the
same shape.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NotRequired,
    Protocol,
    TypedDict,
    Unpack,
    get_type_hints,
)

from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from sbn_deploy.names import Registry, suggest
from sbn_deploy.nn.activation import DeterministicSign, StochasticSign
from sbn_deploy.nn.binary import WeightGradient, WeightOptions
from sbn_deploy.nn.bounded import Bounded
from sbn_deploy.nn.conv import BinaryConv1d, BinaryConv2d
from sbn_deploy.nn.eight_bits import EightBitConv2d, EightBitLinear
from sbn_deploy.nn.input import InputConv2d
from sbn_deploy.nn.linear import BinaryLinear
from sbn_deploy.nn.models.shape import MOST
from sbn_runtime.errors import ConfigError

Kind = Literal["sbn", "fp32"]

First = Literal["int8", "binary", "real"]
"""Weights of the first layer."""

Last = Literal["binary", "real", "int8"]
"""Weights of the last layer."""

Window = int | tuple[int, int]
"""A size or a number of steps along both axes of images, or one for each (vertical, horizontal)."""

Float = Literal["real", "int8"]
"""Weights of layers on floats: those of shortcuts, and the last one behind a mean."""


class ConvOptions(TypedDict):
    """Of convolutions: the border, what it holds in a binary layer, and the stride (1)."""

    padding: Window
    padding_value: float
    stride: NotRequired[Window]


class Layers(Protocol):
    """Makes the layers that differ between a binary network and its twin.

    None but `float_linear` has a bias. The twin pads with zeros, whatever the `padding_value`, and
    all its weights are real.
    """

    kind: Kind

    def conv1d(
        self, inputs: int, outputs: int, kernel: int, **options: Unpack[ConvOptions]
    ) -> nn.Module:
        """A convolution of signals."""

    def conv2d(
        self, inputs: int, outputs: int, kernel: Window, **options: Unpack[ConvOptions]
    ) -> nn.Module:
        """A convolution of images."""

    def input_conv2d(
        self,
        inputs: int,
        outputs: int,
        kernel: Window,
        *,
        weights: First,
        **options: Unpack[ConvOptions],
    ) -> nn.Module:
        """The first convolution of images."""

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        """A linear layer."""

    def output_linear(self, inputs: int, outputs: int, *, weights: Last) -> nn.Module:
        """The last linear layer."""

    def float_conv1x1(self, inputs: int, outputs: int, *, weights: Float) -> nn.Module:
        """A 1x1 convolution of floats, of a shortcut."""

    def float_linear(self, inputs: int, outputs: int, *, weights: Float) -> nn.Module:
        """A linear layer on floats, with a bias: the last one, or the first one on numbers."""

    def activation(self) -> nn.Module:
        """The nonlinearity that follows a batch-norm."""


PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class BinaryOptions:
    """Settings that every stochastic binary network has, besides those of its architecture.

    weight_noise, activation_noise: names of noises.
    surrogate: name of a surrogate gradient; with one, activations are
        deterministic in training and their noise does not count.
    init_std, weight_gradient, local_reparametrization: see `sbn_deploy.nn.binary.WeightOptions`.
    """

    weight_noise: str = "logistic"
    activation_noise: str = "logistic"
    surrogate: str = ""
    init_std: PositiveFloat = 2.0
    weight_gradient: WeightGradient = "identity"
    local_reparametrization: bool = False


BINARY_OPTIONS = frozenset(field.name for field in fields(BinaryOptions))


class BinaryLayers:
    """Bernoulli weights and stochastic signs."""

    kind: Kind = "sbn"

    def __init__(self, options: BinaryOptions) -> None:
        self.options = options
        self.weights: WeightOptions = {
            "noise": options.weight_noise,
            "init_std": options.init_std,
            "weight_gradient": options.weight_gradient,
            "local_reparametrization": options.local_reparametrization,
        }

    def conv1d(
        self, inputs: int, outputs: int, kernel: int, **options: Unpack[ConvOptions]
    ) -> nn.Module:
        return BinaryConv1d(inputs, outputs, kernel, **options, **self.weights)

    def conv2d(
        self, inputs: int, outputs: int, kernel: Window, **options: Unpack[ConvOptions]
    ) -> nn.Module:
        return BinaryConv2d(inputs, outputs, kernel, **options, **self.weights)

    def input_conv2d(
        self,
        inputs: int,
        outputs: int,
        kernel: Window,
        *,
        weights: First,
        **options: Unpack[ConvOptions],
    ) -> nn.Module:
        if weights == "real":
            return RealLayers().conv2d(inputs, outputs, kernel, **options)
        return InputConv2d(inputs, outputs, kernel, weights=weights, **options, **self.weights)

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        return BinaryLinear(inputs, outputs, **self.weights)

    def output_linear(self, inputs: int, outputs: int, *, weights: Last) -> nn.Module:
        if weights == "real":
            return nn.Linear(inputs, outputs, bias=False)
        if weights == "int8":
            return EightBitLinear(inputs, outputs, bias=False)
        return self.linear(inputs, outputs)

    def float_conv1x1(self, inputs: int, outputs: int, *, weights: Float) -> nn.Module:
        if weights == "int8":
            return EightBitConv2d(inputs, outputs, 1, bias=False)
        return nn.Conv2d(inputs, outputs, 1, bias=False)

    def float_linear(self, inputs: int, outputs: int, *, weights: Float) -> nn.Module:
        return EightBitLinear(inputs, outputs) if weights == "int8" else nn.Linear(inputs, outputs)

    def activation(self) -> nn.Module:
        if self.options.surrogate:
            return DeterministicSign(self.options.surrogate)
        return StochasticSign(self.options.activation_noise)


class RealLayers:
    """Real weights and rectified linear units."""

    kind: Kind = "fp32"

    def conv1d(
        self, inputs: int, outputs: int, kernel: int, **options: Unpack[ConvOptions]
    ) -> nn.Module:
        return nn.Conv1d(inputs, outputs, kernel, **_of_twin(options), bias=False)

    def conv2d(
        self, inputs: int, outputs: int, kernel: Window, **options: Unpack[ConvOptions]
    ) -> nn.Module:
        return nn.Conv2d(inputs, outputs, kernel, **_of_twin(options), bias=False)

    def input_conv2d(
        self,
        inputs: int,
        outputs: int,
        kernel: Window,
        *,
        weights: First,
        **options: Unpack[ConvOptions],
    ) -> nn.Module:
        return self.conv2d(inputs, outputs, kernel, **options)

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        return nn.Linear(inputs, outputs, bias=False)

    def output_linear(self, inputs: int, outputs: int, *, weights: Last) -> nn.Module:
        return self.linear(inputs, outputs)

    def float_conv1x1(self, inputs: int, outputs: int, *, weights: Float) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 1, bias=False)

    def float_linear(self, inputs: int, outputs: int, *, weights: Float) -> nn.Module:
        return nn.Linear(inputs, outputs)

    def activation(self) -> nn.Module:
        return nn.ReLU()


def _of_twin(options: ConvOptions) -> dict[str, Any]:
    return {"stride": options.get("stride", 1), "padding": options["padding"]}


class Network(nn.Module):
    """Base of all networks: images [N, C, H, W], signals [N, C, L] or rows [N, F] to [N, K].

    Both are float32, and the answers logits, or numbers.

    A subclass takes a `Layers` and its own JSON-able keyword arguments, among them `classes`, and
    `channels` with `size` (of images: a number, or height and width) or `length` (of signals), or
    `features` (of rows):

        class MyNet(Network, arch="my-net"):
            def __init__(self, layers, *, channels=1, size=8, classes=10): ...
            def forward(self, x): ...

    Other defaults make another architecture of the same class:

        class MyWideNet(MyNet, arch="my-wide-net", width=128): ...
    """

    arch: ClassVar[str]
    kind: Kind
    config: dict[str, Any]

    preset: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, *, arch: str, **preset: Any) -> None:
        super().__init_subclass__()
        _REGISTRY.register(arch, cls)
        cls.arch = arch
        cls.preset = cls.preset | preset


_REGISTRY: Registry[type[Network]] = Registry("an architecture")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ConfigError if a setting of an architecture is not among its choices."""
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def check_counts(**counts: int) -> None:
    """Raises ConfigError if a number of channels, classes or the like is not 1 to `MOST`."""
    for name, count in counts.items():
        if not 1 <= count <= MOST:
            raise ConfigError(f"{name} is {count:,}; it must be from 1 to {MOST:,}")


def names() -> tuple[str, ...]:
    """Names of all registered architectures."""
    return tuple(_REGISTRY)


def settings(arch: str) -> set[str]:
    """Names of the settings that a registered architecture has of its own."""
    return set(list(inspect.signature(_REGISTRY[arch]).parameters)[1:])


def create(arch: str, **config: Any) -> Network:
    """A new stochastic binary network, its latents sampled with torch's generator.

    Args:
        config: fields of `BinaryOptions`, and settings of the architecture.

    Raises:
        ConfigError: unknown architecture, noise, surrogate or configuration key, a value of
            another type or out of range, or a network larger than this machine's memory.
    """
    given = {key: config[key] for key in config.keys() & BINARY_OPTIONS}
    _check_types(BinaryOptions, given)
    options = BinaryOptions(**given)
    network = _build(arch, BinaryLayers(options), _shape(config))
    network.config |= asdict(options)
    return network


def create_twin(arch: str, **config: Any) -> Network:
    """The fp32 twin of the same shape; the `BinaryOptions` in `config` do not concern it.

    Raises:
        ConfigError: unknown architecture or configuration key.
    """
    return _build(arch, RealLayers(), _shape(config))


def _shape(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in config.keys() - BINARY_OPTIONS}


def _build(arch: str, layers: Layers, config: dict[str, Any]) -> Network:
    constructor = _REGISTRY.find(arch)
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    known = {parameter.name: parameter.default for parameter in parameters}
    unknown = config.keys() - known.keys()
    if unknown:
        raise ConfigError(
            f"{arch} has no setting {', '.join(sorted(unknown))}{suggest(min(unknown), known)}; it"
            f" has {', '.join(known)}"
        )
    settings = known | constructor.preset | config
    missing = [name for name, value in settings.items() if value is inspect.Parameter.empty]
    if missing:
        raise ConfigError(f"{arch} needs {', '.join(missing)}")
    _check_types(constructor, config)
    try:
        with Bounded():
            network = constructor(layers, **settings)
    except ConfigError as error:
        raise ConfigError(f"{arch}: {error}") from error
    network.kind = layers.kind
    network.config = settings
    return network


def _check_types(maker: type, config: Mapping[str, Any]) -> None:
    """Raises ConfigError where a setting is not of the type that the signature says."""
    hints = get_type_hints(
        maker if is_dataclass(maker) else maker.__init__,  # type: ignore[misc]
        include_extras=True,
    )
    for name, value in config.items():
        try:
            TypeAdapter(hints.get(name, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            rule = error.errors()[-1]["msg"]
            raise ConfigError(
                f"setting {name} is {reprlib.repr(value)}: {rule[0].lower()}{rule[1:]}"
            ) from error
