"""Signs in place of activations: what a binary layer reads in a traced network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import fx

from sbn_deploy.nn.binarization.kinds import Kinds


@dataclass(frozen=True)
class Input:
    """Where the input of a layer comes from.

    Attributes:
        source: the value before activations, dropouts, pools and changes of shape.
        path: the nodes from there to the layer.
        left_out: activations and dropouts on the path.
        moved: pools on the path that are to come before the source, a batch-norm.
        normalised: whether the sign then reads a normalised value.
    """

    source: fx.Node
    path: list[fx.Node]
    left_out: list[fx.Node]
    moved: list[fx.Node]
    normalised: bool


def input_of(layer: fx.Node, kinds: Kinds) -> Input:
    """Follows the input of a layer back through what a sign can take the place of.

    The largest of several normalised values is rarely negative. So max-pools
    change places with the batch-norm before them if the layer alone reads them.
    """
    node = layer.all_input_nodes[0]
    path: list[fx.Node] = []
    while (
        kinds.activation(node) or kinds.dropout(node) or kinds.pool(node) or kinds.move(node)
    ) and node.all_input_nodes:
        path.insert(0, node)
        node = node.all_input_nodes[0]
    left_out = [node for node in path if kinds.activation(node) or kinds.dropout(node)]
    last = max((i for i, pool in enumerate(path) if kinds.max_pool(pool)), default=None)
    if last is None:
        return Input(node, path, left_out, [], kinds.norm(node))
    if not (kinds.batch_norm(node) and _read_alone([node, *path, layer], kinds)):
        return Input(node, path, left_out, [], False)
    moved = [pool for pool in path[: last + 1] if kinds.pool(pool)]
    return Input(node, path, left_out, moved, True)


def _read_alone(nodes: list[fx.Node], kinds: Kinds) -> bool:
    """Whether each node is read by the next one only."""
    return all(
        user is after or kinds.size(user) for node, after in pairwise(nodes) for user in node.users
    )


def rewire(graph: fx.Graph, layer: fx.Node, found: Input) -> None:
    """Lets the layer read its input without what is left out, and in the new order.

    After a rectifier all signs are +1. Other readers of the path are left as
    they are.
    """
    if not found.left_out and not found.moved:
        return
    rest = [node for node in found.path if node not in found.left_out + found.moved]
    order = [*found.moved, found.source, *rest] if found.moved else rest
    value = found.source.all_input_nodes[0] if found.moved else found.source
    sizes = _computed_from(found.path, graph)
    copies: dict[fx.Node, fx.Node] = {}

    def now(old: fx.Node) -> fx.Node:
        if old in found.left_out:
            return now(old.all_input_nodes[0])
        if old in sizes and old not in copies:
            copies[old] = graph.node_copy(old, now)
        return copies.get(old, old)

    with graph.inserting_before(layer):
        for node in order:
            copies[node] = graph.node_copy(node, now)
            copies[node].replace_input_with(copies[node].all_input_nodes[0], value)
            value = copies[node]
        layer.replace_input_with(layer.all_input_nodes[0], value)


def _computed_from(path: list[fx.Node], graph: fx.Graph) -> set[fx.Node]:
    """What is computed from values on the path beside it: their sizes, for changes of shape."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node not in path and any(n in path or n in found for n in node.all_input_nodes):
            found.add(node)
    return found


def absorbed(layer: fx.Node, kinds: Kinds, normalising: set[fx.Node]) -> bool:
    """Whether all that reads the layer, at most behind pools, begins with a batch-norm.

    Args:
        normalising: layers that get a batch-norm before their sign.
    """
    users = [user for user in layer.users if not kinds.size(user)]
    return bool(users) and all(
        kinds.batch_norm(user)
        or user in normalising
        or ((kinds.pool(user) or kinds.move(user)) and absorbed(user, kinds, normalising))
        for user in users
    )
