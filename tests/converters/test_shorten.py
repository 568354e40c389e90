"""Names are shortened without a clash, whatever names there were."""

from __future__ import annotations

import onnx_ir as ir

from sbn_converters.onnx.shorten import shorten


def test_a_name_in_use_is_not_given_twice() -> None:
    x = ir.Value(name="a", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
    constants = [ir.Value(name=n, const_value=ir.tensor([1.0, 2.0], name=n)) for n in "zcb"]
    nodes = [ir.node("Add", [x, constants[0]])]
    for constant in constants[1:]:
        nodes.append(ir.node("Add", [nodes[-1].outputs[0], constant]))
    for node, name in zip(nodes, ("d", "logits", "e"), strict=True):
        node.outputs[0].name = name
    graph = ir.Graph([x], [nodes[1].outputs[0]], nodes=nodes, initializers=constants)
    shorten(graph)
    names = [v.name for v in [x, *constants, *(node.outputs[0] for node in nodes)]]
    assert names[0] == "a"
    assert names[-2] == "logits"
    assert len(set(names)) == len(names)
    assert set(graph.initializers) == {value.name for value in constants}
