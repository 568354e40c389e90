"""Rewrites a float network so that engines run it at their best."""

from __future__ import annotations

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def fold_batchnorm(network: nn.Module) -> fx.GraphModule:
    """A copy in evaluation mode that computes the same with fewer passes over its tensors.

    Batch-norms move into the convolution or linear layer before them, past a
    max-pool too where they keep the order of numbers; rectifiers move before a
    max-pool, where engines fuse them into the convolution.
    """
    traced = fx.symbolic_trace(copy.deepcopy(network).eval().requires_grad_(False))
    for node in list(traced.graph.nodes):
        if isinstance(_module(traced, node), nn.Identity):
            node.replace_all_uses_with(node.all_input_nodes[0])
            traced.graph.erase_node(node)
    for node in list(traced.graph.nodes):
        module = _module(traced, node)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            _fold(traced, node, module)
    for node in list(traced.graph.nodes):
        if isinstance(_module(traced, node), nn.ReLU):
            _move_up(traced, node)
    traced.graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _fold(
    traced: fx.GraphModule, norm: fx.Node, batchnorm: nn.BatchNorm1d | nn.BatchNorm2d
) -> None:
    before = norm.all_input_nodes[0]
    producer = before
    if isinstance(_module(traced, producer), nn.MaxPool2d) and _rises(batchnorm):
        producer = producer.all_input_nodes[0]
    if any(len(node.users) > 1 for node in (before, producer)):
        return
    layer = _module(traced, producer)
    if isinstance(layer, nn.Conv2d):
        folded: nn.Module = fuse_conv_bn_eval(layer, batchnorm)
    elif isinstance(layer, nn.Linear):
        folded = fuse_linear_bn_eval(layer, batchnorm)
    else:
        return
    traced.set_submodule(str(producer.target), folded)
    norm.replace_all_uses_with(before)
    traced.graph.erase_node(norm)


def _move_up(traced: fx.GraphModule, relu: fx.Node) -> None:
    """Exchanges a rectifier with a max-pool before it: both keep the order of numbers."""
    pool = relu.all_input_nodes[0]
    if not isinstance(_module(traced, pool), nn.MaxPool2d) or len(pool.users) > 1:
        return
    relu.replace_all_uses_with(pool)
    relu.replace_input_with(pool, pool.all_input_nodes[0])
    pool.prepend(relu)
    pool.replace_input_with(pool.all_input_nodes[0], relu)


def _rises(batchnorm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    return not batchnorm.affine or bool((batchnorm.weight > 0).all())


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None
