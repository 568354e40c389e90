"""The graph of a network's forward, where that is the same for every input."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from sbn_deploy.nn.activation import SignActivation
from sbn_deploy.nn.binary import BinaryLayer

_DROPOUT_MODULES: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
}


class Untraceable(Exception):
    """The forward cannot be followed; the message says why."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, (BinaryLayer, SignActivation)) or super().is_leaf_module(
            module, name
        )


def trace(model: nn.Module) -> fx.GraphModule:
    """The model as a graph of calls, with its own submodules under their names.

    Arguments with a default keep it. Values are followed from module to module
    and no further; in-place activations become ordinary ones, so that what they
    read can be read again.

    Raises:
        Untraceable: the forward depends on values of the input, or does
            something else in training than in evaluation.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        training, evaluation = (_graph(model.train(mode)) for mode in (True, False))
    finally:
        for module, mode in modes.items():
            module.training = mode
    dropouts = _dropouts_of_training(training, evaluation)
    traced = fx.GraphModule(model, training, class_name=type(model).__name__)
    for index, node in enumerate(dropouts):
        name = f"dropout_of_forward{index}"
        traced.add_submodule(name, _DROPOUT_MODULES[node.target](_probability(node)))
        node.op, node.target, node.args, node.kwargs = "call_module", name, node.args[:1], {}
    _out_of_place(traced)
    traced.recompile()
    for module in traced.modules():  # containers are new
        module.training = modes.get(module, model.training)
    return traced


def _graph(model: nn.Module) -> fx.Graph:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _Tracer().trace(model, concrete_args=defaults or None)
    except Exception as error:  # whatever the user's code does with a stand-in for a tensor
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Untraceable(reason) from error


def _dropouts_of_training(training: fx.Graph, evaluation: fx.Graph) -> list[fx.Node]:
    """Calls of functional dropout in training; raises Untraceable for any other difference."""
    found = []
    pairs = zip(training.nodes, evaluation.nodes, strict=False)
    for node, other in pairs:
        if _written(node) == _written(other):
            continue
        if node.target not in _DROPOUT_MODULES or node.target is not other.target:
            break
        found.append(node)
    else:
        if len(training.nodes) == len(evaluation.nodes):
            return found
    raise Untraceable("forward does something else in training than in evaluation")


def _written(node: fx.Node) -> str:
    return f"{node.op} {node.target} {node.args} {node.kwargs}"


def _probability(node: fx.Node) -> Any:
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("p", 0.5)


def _out_of_place(traced: fx.GraphModule) -> None:
    for module in traced.modules():
        if getattr(module, "inplace", False) is True:
            setattr(module, "inplace", False)  # noqa: B010  # not an attribute of every module
    for node in traced.graph.nodes:
        if node.kwargs.get("inplace") is True:
            node.update_kwarg("inplace", False)
        elif node.op == "call_method" and node.target == "relu_":
            node.target = "relu"
        elif node.op == "call_function" and node.target in _OUT_OF_PLACE:
            node.target = _OUT_OF_PLACE[node.target]


_OUT_OF_PLACE: dict[Any, Any] = {F.relu_: F.relu, torch.relu_: torch.relu}
