"""A recorded module computes what the module computes, for any batch size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbn_deploy.tracing.record import record
from sbn_deploy.tracing.straight_through import is_writing
from sbn_runtime.errors import InputError, UnsupportedLayerError


class Module(nn.Module):
    """A forward from a function of the module and its input."""

    def __init__(self, forward: Callable[..., object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("scale", torch.ones(()))
        self.function = forward

    def forward(self, x: Tensor) -> object:
        return self.function(self, x)


def _rewritten(module: Module, x: Tensor) -> Tensor:
    module.weight.data = module.weight.data.sign()
    return functional.linear(x, module.weight)


def _written_in_part(module: Module, x: Tensor) -> Tensor:
    y = torch.zeros(x.shape[0], 6)
    y[:, 1:5] = x
    y[y == 0] = 7
    return y


def _input_rewritten(module: Module, x: Tensor) -> Tensor:
    y = x * 2
    y.data = y.sign()
    return y + 1


def _seen_through_a_view(module: Module, x: Tensor) -> Tensor:
    y = x + 1
    part = y[:, :2]
    y.mul_(3)
    return part + y[:, 2:]


def _with_numpy(module: Module, x: Tensor) -> Tensor:
    median = np.median(module.weight.detach().numpy())
    return x * float(median)


def _guarded(module: Module, x: Tensor) -> Tensor:
    return x / module.scale if module.scale.item() != 0 else x


def _experts(module: Module, x: Tensor) -> Tensor:
    weights = (x[:, :, None] * module.weight).reshape(-1, 4, 1)
    return functional.conv1d(x.reshape(1, -1, 1), weights, groups=len(x)).view(len(x), -1)


FORWARDS = {
    "in place": lambda m, x: (x * 2).add_(x).relu_(),
    "weights rewritten": _rewritten,
    "written in part": _written_in_part,
    "data of an activation": _input_rewritten,
    "a view of what is written over": _seen_through_a_view,
    "numpy on weights": _with_numpy,
    "a guard on a buffer": _guarded,
    "sizes": lambda m, x: x.view(x.size(0), 2, 2).permute(0, 2, 1).reshape(-1, 2),
    "repeated constants": lambda m, x: x + m.weight[0].expand_as(x) * m.weight[1].repeat(len(x), 1),
    "attention": lambda m, x: functional.scaled_dot_product_attention(*[x[:, None]] * 3),
    "squeezed": lambda m, x: (x[:, None].squeeze(2).squeeze(1) * 2).squeeze(1) + x[None].squeeze(0),
    "instance norm": lambda m, x: functional.instance_norm(
        x.view(-1, 2, 2), weight=m.weight[0, :2], bias=m.weight[1, :2]
    ),
    "norm of a batch": lambda m, x: functional.batch_norm(
        x.view(-1, 2, 2), None, None, m.weight[0, :2], training=True
    ),
    "circular": lambda m, x: functional.pad(x[:, None], (2, 1), mode="circular"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDS)
def test_a_recording_computes_the_same(name: str) -> None:
    module = Module(FORWARDS[name]).eval()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    found = record(module, torch.randn(2, 4))
    for key, value in module.state_dict().items():
        assert torch.equal(value, state[key]), "the module was changed"
    for size in (1, 2, 5):
        x = torch.randn(size, 4)
        with torch.no_grad():
            (answer,) = found.graph_module(x.clone())
            expected = module(x.clone())
        torch.testing.assert_close(answer, expected)
    assert found.notes == []


def test_a_module_that_cannot_be_copied_is_put_back() -> None:
    def forward(module: Module, x: Tensor) -> Tensor:
        module.weight.data.sign_()
        module.scale.add_(1)
        module.seen = x
        return functional.linear(x * module.scale * module.computed, module.weight)

    module = Module(forward).train()
    module.computed = module.weight.sum() * 2  # which deepcopy refuses
    before = {name: value.clone() for name, value in module.state_dict().items()}
    attributes = dict(module.__dict__)
    example = torch.randn(2, 4)
    found = record(module, example)
    (answer,) = found.graph_module(example.clone())
    expected = functional.linear(example * 2 * module.computed, module.weight.sign())
    torch.testing.assert_close(answer, expected.detach())
    assert module.__dict__ == attributes
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_what_nothing_else_sees_is_not_written_over() -> None:
    found = record(Module(FORWARDS["in place"]), torch.randn(2, 4))
    assert not any(is_writing(node) for node in found.graph_module.graph.nodes)


def test_straight_through_terms_go_even_after_operations_in_place() -> None:
    def forward(module: Module, x: Tensor) -> Tensor:
        y = (x * 2).add_(1)
        smooth = y.tanh() * 3
        return y.sign().detach() - smooth.detach() + (y.tanh() * 3)

    graph = record(Module(forward), torch.randn(2, 4)).graph_module.graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert called == ["aten.mul.Tensor", "aten.add.Tensor", "aten.sign.default"]


def test_inputs_and_outputs_have_names() -> None:
    class Two(nn.Module):
        def forward(self, image: Tensor, angle: Tensor) -> dict[str, Tensor]:
            return {"sum": image + angle, "mean": image.mean(1)}

    found = record(Two(), [torch.randn(3, 4), torch.randn(3, 1)])
    assert (found.inputs, found.outputs) == (["image", "angle"], ["sum", "mean"])


def test_an_output_may_be_absent() -> None:
    found = record(Module(lambda m, x: (x * 2, None)), torch.randn(2, 4))
    assert found.outputs == ["output0"]


def test_a_number_that_decides_is_told() -> None:
    def forward(module: Module, x: Tensor) -> Tensor:
        return x if x.abs().max() < 100 else -x

    (note,) = record(Module(forward), torch.randn(2, 4)).notes
    assert "test_record.py" in note


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (lambda m, x: x * x.abs().max().item(), "a number taken out of activations"),
        (lambda m, x: x + torch.from_numpy(x.numpy().copy()), "cannot follow back to the input"),
        (lambda m, x: x + torch.randn_like(x), "uses random numbers"),
        (lambda m, x: functional.dropout(x, training=True), "uses random numbers"),
        (lambda m, x: "text", "returns str; it must return a tensor"),
        (lambda m, x: (x * 2, 3), "returns tuple with int as output1"),
        (_experts, "its own weights"),
        (lambda m, x: m.weight, "does not depend on the input"),
        (lambda m, x: x @ x, "cannot run on the example"),
        (lambda m, x: x[:1] if len(x) == 2 else x.neg(), "a different path"),
    ],
)
def test_what_no_graph_can_express_is_refused_in_one_line(
    forward: Callable[..., object], why: str
) -> None:
    with pytest.raises(UnsupportedLayerError) as raised:
        record(Module(forward), torch.randn(2, 4))
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")  # torch's, that its quantisation moves elsewhere
def test_quantised_layers_are_refused() -> None:
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)).eval())
    with pytest.raises(UnsupportedLayerError, match="as quantised layers do"):
        record(quantised, torch.randn(2, 4))


def test_an_example_needs_a_batch() -> None:
    with pytest.raises(InputError, match="a batch of at least one"):
        record(Module(lambda m, x: x), torch.randn(0, 4))
    with pytest.raises(InputError, match="the same batch size"):
        record(Module(lambda m, x: x), [torch.randn(2, 4), torch.randn(3, 4)])
