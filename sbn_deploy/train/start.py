"""Training that starts from the weights of a checkpoint, of the same network or a float one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from sbn_deploy.networks.weights import differences, load_into, read_state, renamed
from sbn_deploy.nn import BinaryLayer, EightBit, InputConv2d, Int8Conv2d
from sbn_runtime.errors import ArtifactError, ConfigError


def start_from(model: nn.Module, path: Path) -> None:
    """Gives a network the weights of a checkpoint, of which it has every one.

    A checkpoint of the same network is copied. One of a float network, such as the
    fp32 twin of an architecture or what was given to `binarize`, gives binary layers
    latents with the signs of its weights, see `BinaryLayer.start_from`, and all else,
    batch-norms among them, as it is. Batch-norms that `binarize` added, and
    temperatures, stay as they are.

    Args:
        model: as it is trained.
        path: see `sbn_deploy.networks.read_state`.

    Raises:
        ArtifactError: the checkpoint cannot be read, or belongs to another network; the
            message lists what is missing, left over, or of another shape.
    """
    binary = {name: m for name, m in model.named_modules() if isinstance(m, BinaryLayer)}
    state = read_state(path)
    own = model.state_dict()
    if not binary or any(f"{name}.latent" in renamed(state, own) for name in binary):
        load_into(model, path)
        return
    places = {name: _float_name(model, name) for name in binary}
    sources = {name: _source(name, model, places) for name in own}
    wanted = {source: own[name] for name, source in sources.items() if source is not None}
    spare = dict.fromkeys(_absorbed_biases(places, model))
    state = renamed(state, spare | wanted)
    problems = differences({n: t for n, t in state.items() if n not in spare}, wanted)
    if problems:
        raise ArtifactError(
            f"{path} does not match the float form of {type(model).__name__}: it"
            f" {' and '.join(problems)}"
        )
    with torch.no_grad():
        for name, source in sources.items():
            if source is not None and not name.endswith(".latent"):
                own[name].copy_(state[source])
    for name, layer in binary.items():
        try:
            layer.start_from(state[f"{places[name]}.weight"])
        except ConfigError as error:
            raise ArtifactError(f"{path}: {places[name]}: {error}") from error


def _float_name(model: nn.Module, name: str) -> str:
    """The name that a layer of ours has in the float network."""
    parent, _, own = name.rpartition(".")
    holder = model.get_submodule(parent)
    binarized = own == "layer" and "sign" in dict(holder.named_children())
    return parent if binarized or isinstance(holder, InputConv2d) else name


def _source(name: str, model: nn.Module, places: Mapping[str, str]) -> str | None:
    """The name in the float network of a tensor of ours, None where there is none."""
    place, _, own = name.rpartition(".")
    if place in places:
        return f"{places[place]}.weight" if own == "latent" else None
    if own == "log_temperature":
        return None
    if isinstance(model.get_submodule(place), EightBit) and own in ("low", "high"):
        return None
    if isinstance(model.get_submodule(place), Int8Conv2d):
        return f"{_float_name(model, place)}.{own}"
    for layer, holder in places.items():
        if layer == f"{holder}.layer":
            if name == f"{holder}.bias.bias":
                return f"{holder}.bias"
            if name.startswith(f"{holder}.norm."):
                return None
    return name


def _absorbed_biases(places: Mapping[str, str], model: nn.Module) -> Iterator[str]:
    """Biases of float layers that `binarize` left to the batch-norms behind them."""
    for layer, holder in places.items():
        if layer == f"{holder}.layer" and not hasattr(model.get_submodule(holder), "bias"):
            yield f"{holder}.bias"
