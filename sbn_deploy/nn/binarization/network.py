"""`binarize`: an ordinary float network as a stochastic binary one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Unpack, cast

from torch import fx, nn

from sbn_deploy.nn.activation import StochasticSign
from sbn_deploy.nn.binarization import chains, roles
from sbn_deploy.nn.binarization.kinds import Kinds
from sbn_deploy.nn.binarization.layers import FloatLayer, binary_form, why_not
from sbn_deploy.nn.binarization.result import Binarized, Change
from sbn_deploy.nn.binarization.signs import absorbed, input_of, rewire
from sbn_deploy.nn.binarization.trace import Untraceable, trace
from sbn_deploy.nn.binary import BinaryLayer, LatentOptions
from sbn_runtime.errors import ConfigError

Layers = Sequence[str] | Callable[[str, nn.Module], bool] | None


def binarize(
    model: nn.Module,
    *,
    layers: Layers = None,
    sign: Callable[[], nn.Module] = StochasticSign,
    padding_value: float = 1.0,
    **options: Unpack[LatentOptions],
) -> Binarized:
    """An ordinary float network as a stochastic binary one, to be trained on.

    Each chosen layer becomes [norm,] sign, binary layer [, bias]:

    - The sign reads what the layer read, but before ReLUs, other activations
      and dropouts: after a ReLU all signs are +1. Where something else reads
      them too, such as a shortcut, it still does; otherwise they are gone.
    - Max-pools change places with a batch-norm before them: the largest of
      several normalised values is rarely negative.
    - A batch-norm comes before the sign where the value there is not
      normalised, for example after an addition.
    - The bias is dropped where a batch-norm follows, which has one. Otherwise it
      stays, and each channel gets a scale, the mean magnitude of its weights.
    - The latents have the signs of the float weights, and their size scaled to
      a root mean square of `init_std`; thresholding gives the signs back.
    - Stride, dilation, groups and the size of paddings stay. The border
      holds `padding_value` instead of zeros.

    Shortcuts, norms and all other layers stay as they are. The new network has
    yet to be trained: `sbn_deploy.train.optim.split_parameters` tells latents
    from the rest.

    The forward is followed with torch.fx, and the new network is an
    `fx.GraphModule` with submodules of the same names. A forward that depends on
    values of its input cannot be followed: layers are then replaced in place,
    and activations dropped in `nn.Sequential`s only.

    Args:
        model: of `Conv1d`, `Conv2d` and `Linear` layers; left as it was.
        layers: which of them become binary: names or patterns ("features.*"), or
            a function of name and module. By default all but the first, the
            last, 1x1 convolutions on shortcuts and depthwise convolutions.
        sign: makes the activation, `StochasticSign` or `DeterministicSign`.
        padding_value: what surrounds the signs: -1, 0 or +1.
        options: of the binary layers, see `LatentOptions`.

    Raises:
        ConfigError: `layers` names none, no layer can be binary, weights that
            are not finite, or unknown options.

    Example:
        >>> from torch import nn
        >>> from sbn_deploy.nn import binarize
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        ...     nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(),
        ...     nn.Flatten(), nn.Linear(64 * 16, 10),
        ... )
        >>> print(binarize(net))
        0  float    the first layer: its input is data, whose signs say little
        3  binary   reads the sign of 1
        2  dropped  the sign of 3 takes its place
        7  float    the last layer: its output is the answer
    """
    settings = _Settings(layers, sign, padding_value, options)
    copied = copy.deepcopy(model)
    try:
        result = _traced(trace(copied), settings)
    except Untraceable as reason:
        result = _by_place(copied, str(reason), settings)
    if not result.binary:
        raise ConfigError(_nothing(model, result, layers))
    return result


@dataclass(frozen=True)
class _Settings:
    layers: Layers
    sign: Callable[[], nn.Module]
    padding_value: float
    options: LatentOptions

    def why_float(self, name: str, layer: nn.Module, reasons: Mapping[str, str]) -> str | None:
        """Why a layer stays float, or None if it becomes binary."""
        if self.layers is None:
            return reasons.get(name) or roles.unfit(layer)
        if callable(self.layers):
            wanted = self.layers(name, layer)
        else:
            wanted = any(fnmatchcase(name, pattern) for pattern in self.layers)
        return why_not(layer) if wanted else "not among the layers that were asked for"

    def binary(self, name: str, layer: nn.Module, *, norm: bool, absorbed: bool) -> nn.Sequential:
        try:
            return binary_form(
                cast(FloatLayer, layer),
                sign=self.sign,
                norm=norm,
                absorbed=absorbed,
                padding_value=self.padding_value,
                options=self.options,
            )
        except ConfigError as error:
            raise ConfigError(f"cannot binarize {name}: {error}") from error


def _traced(model: fx.GraphModule, settings: _Settings) -> Binarized:
    """The network of a traced one, whose graph is rewritten."""
    graph = model.graph
    kinds = Kinds(dict(model.named_modules()))
    reasons = roles.reasons(graph, kinds)
    calls: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_module" and kinds.weighted(node):
            calls.setdefault(str(node.target), []).append(node)
    why_float = {name: settings.why_float(name, kinds.modules[name], reasons) for name in calls}
    # All inputs are looked at before the first of them changes.
    inputs = {
        node: input_of(node, kinds)
        for name, nodes in calls.items()
        if not why_float[name]
        for node in nodes
    }
    normalising = {node for node, found in inputs.items() if not found.normalised}
    for node, found in inputs.items():
        rewire(graph, node, found)
    graph.eliminate_dead_code()
    alive = set(graph.nodes)
    changes: list[Change] = []
    for name, nodes in calls.items():
        if why := why_float[name]:
            changes.append(Change(name, "float", why))
            continue
        layer = settings.binary(
            name,
            kinds.modules[name],
            norm=not normalising.isdisjoint(nodes),
            absorbed=all(absorbed(node, kinds, normalising) for node in nodes),
        )
        model.add_submodule(name, layer)
        sources = dict.fromkeys(_label(inputs[node].source) for node in nodes)
        changes.append(_became_binary(name, " and ".join(sources), layer))
        for found in (inputs[node] for node in nodes):
            for pool in found.moved:
                why = f"before {_label(found.source)}, so that the sign of {name} is not mostly +1"
                changes.append(Change(_label(pool), "moved", why))
            for activation in found.left_out:
                if activation in alive:
                    changes.append(Change(_label(activation), "kept", f"for others than {name}"))
                else:
                    changes.append(_dropped(_label(activation), name))
    model.delete_all_unused_submodules()
    model.recompile()
    return Binarized(model, list(dict.fromkeys(changes)))


def _by_place(model: nn.Module, reason: str, settings: _Settings) -> Binarized:
    """The network of one that cannot be traced: layers are replaced where they are."""
    layers = chains.weighted_modules(model)
    reasons = {name: roles.SHORTCUT for name in layers if chains.is_shortcut(name, layers[name])}
    if layers:
        reasons |= {next(reversed(layers)): roles.LAST} | {next(iter(layers)): roles.FIRST}
    note = f"layers are taken in the order in which they are registered: {reason}"
    changes = [Change(type(model).__name__, "note", note)]
    for name, layer in layers.items():
        if why := settings.why_float(name, layer, reasons):
            changes.append(Change(name, "float", why))
            continue
        place = chains.Place(model, name)
        binary = settings.binary(name, layer, norm=not place.normalised, absorbed=place.absorbed)
        changes.append(_became_binary(name, "its input", binary))
        changes += [_dropped(activation, name) for activation in place.replace(binary)]
    return Binarized(model, changes)


def _dropped(name: str, layer: str) -> Change:
    return Change(name, "dropped", f"the sign of {layer} takes its place")


def _became_binary(name: str, source: str, layer: nn.Sequential) -> Change:
    parts = dict(layer.named_children())
    why = f"reads the sign of {source}"
    if "norm" in parts:
        why += ", after a batch-norm of its own"
    if cast(BinaryLayer, parts["layer"]).scale is not None:
        kept = "scales and its bias" if "bias" in parts else "scales"
        why += f"; has {kept}, as no batch-norm follows"
    return Change(name, "binary", why)


def _label(node: fx.Node) -> str:
    """A module's name; of a function its own and that of the module that calls it."""
    if node.op == "call_module":
        return str(node.target)
    callers = [name for name in node.meta.get("nn_module_stack", ()) if name]
    return f"{node.name} in {callers[-1]}" if callers else node.name


def _nothing(model: nn.Module, result: Binarized, layers: Layers) -> str:
    """Why no layer became binary, in one line."""
    name = type(model).__name__
    names = [change.name for change in result.changes if change.what == "float"]
    if not names:
        return f"{name} calls no convolution and no linear layer; nothing in it can be binary"
    if layers is not None:
        some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return f"no layer of {name} that can be binary is among those asked for; it has {some}"
    whys = "; ".join(f"{c.name} is {c.why}" for c in result.changes if c.what == "float")
    return f"no layer of {name} becomes binary by default; choose with layers=[…]: {whys}"
