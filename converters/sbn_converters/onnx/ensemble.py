"""Putting the members of an ensemble into one graph that answers as its task says."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from sbn_runtime.errors import ConfigError
from sbn_runtime.tasks import CLASSIFICATION, Task, find

from .last_activation import before_activation
from .samples import Samples, is_sampled
from .tail import Tail


def with_answers(
    members: list[ir.Model],
    names: list[str],
    samples: Samples | None = None,
    task: str = CLASSIFICATION,
) -> ir.Model:
    """One model that answers what its members answer on average.

    Members have the same inputs and outputs. Where signs are drawn with `samples`, their
    outputs have a row for each sample and image, sample by sample. The task applies to the
    first output and says how the outputs of the result are called (`sbn_runtime.tasks`):
    for classification `logits` and `probabilities` for one member that draws nothing, else
    `member_logits` [M * S, N, K], member by member, and `probabilities` [N, K], the mean of
    all softmax. A softmax or sigmoid in which members end is left out, so that nothing is
    normalised twice (`last_activation.before_activation`).

    The other outputs, and all for the task "none", keep their names. Of several members or
    samples they are the mean, beside `member_NAME` with what was averaged; if they are no
    floats, only that. What members have in common is kept once. `names` prefix the members'
    nodes and values where there are several. An input with the name of one of the task's
    outputs becomes `NAME_input`; another output whose name is taken, `NAME_2`.

    Raises ConfigError for an unknown task and one that does not fit the first output.
    """
    kind = find(task)
    own_names = [value.name or f"output{i}" for i, value in enumerate(members[0].graph.outputs)]
    model = members[0]
    several = len(members) > 1
    outputs = []
    for member, name in zip(members, names, strict=True):
        if several:
            _prefix(member.graph, name)
        found = _outputs(member.graph, kind)
        if member is not model:
            found = _merge(model.graph, member.graph, found)
        outputs.append(found)
    sampled = any(is_sampled(value) for value in outputs[0])
    model.graph.outputs.clear()
    tail = Tail(model.graph, own_names, names if several else [""], samples, kind)
    for own, values in zip(own_names, zip(*outputs, strict=True), strict=True):
        tail.add(own, values)
    common.DeduplicateInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    if sampled:
        assert samples is not None
        model.graph.inputs.extend(samples.inputs)
    return model


def _outputs(graph: ir.Graph, task: Task | None) -> list[ir.Value]:
    """A member's outputs, the first one without the activation of its task."""
    first, *others = graph.outputs
    if task is None:
        return [first, *others]
    shape = [size if isinstance(size, int) else None for size in first.shape or ()]
    if not task.fits(shape):
        found = ", ".join(["N", *("?" if size is None else str(size) for size in shape[1:])])
        raise ConfigError(
            f"the task {task.name} needs a network that answers {task.wanted}, but this one"
            f" answers [{found}]; choose another task"
        )
    return [before_activation(first, task)[0], *others]


def _prefix(graph: ir.Graph, prefix: str) -> None:
    for value in list(graph.initializers.values()):
        value.name = f"{prefix}/{value.name}"
    for node in graph:
        node.name = f"{prefix}/{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}/{value.name}"


def _merge(graph: ir.Graph, other: ir.Graph, outputs: list[ir.Value]) -> list[ir.Value]:
    """Moves the other graph's nodes and constants over; returns its outputs there."""
    other.outputs.clear()
    shared = dict(zip(other.inputs, graph.inputs, strict=True))
    for own, common_input in shared.items():
        own.replace_all_uses_with(common_input)
    nodes = list(other)
    other.remove(nodes)
    initializers = list(other.initializers.values())
    other.initializers.clear()
    for value in initializers:
        graph.register_initializer(value)
    graph.extend(nodes)
    return [shared.get(value, value) for value in outputs]
