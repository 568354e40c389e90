"""What a layer is for in its network: the first, the last, a shortcut."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx, nn

from sbn_deploy.nn.binarization.kinds import Kinds
from sbn_deploy.nn.binarization.layers import why_not

FIRST = "the first layer: its input is data, whose signs say little"
LAST = "the last layer: its output is the answer"
SHORTCUT = "a 1x1 convolution on a shortcut, which stays real"
GATE = "part of a gate, which weighs channels by one number each"
DEPTHWISE = "a depthwise convolution: each output sums too few signs"


def reasons(graph: fx.Graph, kinds: Kinds) -> dict[str, str]:
    """By name of each module that stays float unless it is asked for, the reason."""
    found: dict[str, str] = {}
    for role, nodes in (
        (FIRST, _first(graph, kinds)),
        (LAST, _last(graph, kinds)),
        (SHORTCUT, _shortcuts(graph, kinds)),
        (GATE, _gates(graph, kinds)),
    ):
        for node in nodes:
            if node.op == "call_module":
                found.setdefault(str(node.target), role)
    return found


def depthwise(layer: nn.Module) -> bool:
    """Whether each output channel of a convolution sees one input channel only."""
    return isinstance(layer, (nn.Conv1d, nn.Conv2d)) and layer.groups == layer.in_channels > 1


def _first(graph: fx.Graph, kinds: Kinds) -> Iterator[fx.Node]:
    """Layers that no other layer precedes."""
    after: set[fx.Node] = set()
    for node in graph.nodes:
        if any(source in after or kinds.weighted(source) for source in node.all_input_nodes):
            after.add(node)
        elif kinds.weighted(node):
            yield node


def _last(graph: fx.Graph, kinds: Kinds) -> Iterator[fx.Node]:
    """For each output, the last layer that it depends on."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    for value in output.all_input_nodes:
        needed = {value}
        for node in reversed(graph.nodes):
            if node not in needed:
                continue
            if kinds.weighted(node):
                yield node
                break
            needed.update(node.all_input_nodes)


def _shortcuts(graph: fx.Graph, kinds: Kinds) -> Iterator[fx.Node]:
    """1x1 convolutions around other layers: both ends of an addition come from one value."""
    for node in graph.nodes:
        module = kinds.module(node)
        if not isinstance(module, (nn.Conv1d, nn.Conv2d)) or set(module.kernel_size) != {1}:
            continue
        source = node.all_input_nodes[0]
        while kinds.pool(source):
            source = source.all_input_nodes[0]
        around = _behind_layers(source, node, kinds)
        if any(
            kinds.add(add) and any(other in around for other in add.all_input_nodes if other != own)
            for own, add in _added_to(node, kinds)
        ):
            yield node


def _added_to(node: fx.Node, kinds: Kinds) -> Iterator[tuple[fx.Node, fx.Node]]:
    """What reads the node's value, through norms, pools and the like; with the value itself."""
    for user in node.users:
        if kinds.norm(user) or kinds.pool(user) or kinds.dropout(user) or kinds.move(user):
            yield from _added_to(user, kinds)
        else:
            yield node, user


def _behind_layers(source: fx.Node, shortcut: fx.Node, kinds: Kinds) -> set[fx.Node]:
    """Values that come from `source` through at least one layer other than `shortcut`."""
    reached = {(source, False)}
    waiting = [(source, False)]
    while waiting:
        node, passed = waiting.pop()
        for user in node.users:
            step = (user, passed or kinds.weighted(user))
            if user is not shortcut and step not in reached:
                reached.add(step)
                waiting.append(step)
    return {node for node, passed in reached if passed}


def _gates(graph: fx.Graph, kinds: Kinds) -> Iterator[fx.Node]:
    """Layers between the mean over an image and a multiplication: squeeze and excitation."""
    for product in filter(kinds.multiplication, graph.nodes):
        for factor in product.all_input_nodes:
            node, layers = factor, []
            while len(node.users) == 1 and (
                kinds.weighted(node)
                or kinds.activation(node)
                or kinds.gate(node)
                or kinds.norm(node)
                or (kinds.move(node) and node.all_input_nodes)
            ):
                if kinds.weighted(node):
                    layers.append(node)
                node = node.all_input_nodes[0]
            if kinds.global_mean(node):
                yield from layers


def unfit(layer: nn.Module) -> str | None:
    """Why a layer stays float whatever its place is, unless it is asked for."""
    return why_not(layer) or (DEPTHWISE if depthwise(layer) else None)
