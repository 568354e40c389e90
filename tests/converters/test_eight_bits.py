"""Float layers in 8 bits: the same bits everywhere, and what torch makes of the same codes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from sbn_converters.onnx.eight_bits import Range, problem, whole_weights
from sbn_deploy.data.dataset import of_pixels
from sbn_deploy.engines.onnx import kernel_engine, stock_engine
from sbn_deploy.export import eight_bits, onnx_model
from sbn_deploy.oracle import validate_members
from sbn_deploy.oracle.onnx_engines import as_feed
from sbn_deploy.tracing.trace import trace
from sbn_runtime import available_isas
from sbn_runtime.errors import ConfigError, ModelError

from .random_networks import Sign, batch_norm, random_signs

CLASSES = 5
PIXELS = of_pixels(3, 16, 16)


class Mixed(nn.Module):
    """A binary layer between float ones: a stem, a shortcut, and a dense layer at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.sign = Sign()
        self.register_buffer("weight", random_signs(16, 8, 3, 3))
        self.binary_norm = batch_norm(16, 72, two_dimensional=True)
        self.short = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, CLASSES)
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.norm(self.stem(x))), 2)
        v = functional.conv2d(self.sign(x - 0.5), self.weight, padding=1)
        v = self.binary_norm(v) + self.short(x)
        return self.head(v.mean((2, 3)))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Mixed().eval()


@pytest.fixture(scope="module")
def data(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Images with the classes that the network gives them."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), np.uint8)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(127.5) - np.float32(1))
    with torch.no_grad():
        network.head.bias -= network(x).mean(0)  # or one class would be the answer to all
        labels = network(x).argmax(1).numpy()
    assert np.bincount(labels, minlength=CLASSES).min() > 10
    np.savez(path, images=images, labels=labels)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def built(network: nn.Module, data: str) -> onnx_model.Built:
    # What an untrained network loses says nothing.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eight_bits, "MOST_LOST", 1.0)
        said = {"preprocess": PIXELS.to_json()}
        return onnx_model.build([network], torch.randn(2, 3, 16, 16), metadata=said, int8=data)


def test_all_float_layers_are_whole_numbers(built: onnx_model.Built) -> None:
    layers = {layer.name: layer.kind for layer in built.lowered.layers}
    assert [layers[name] for name in ("stem", "short", "head")] == ["int8"] * 3
    operators = [node.op_type for node in built.proto.graph.node]
    assert operators.count("PixelConvScale") == operators.count("QuantizeLinear") == 3
    assert not {"Conv", "Gemm", "MatMul", "BatchNormalization"} & {*operators}
    # The image is turned once; all else stays as it is.
    assert operators.count("Transpose") == 1


def test_every_engine_agrees_with_torch(network: nn.Module, built: onnx_model.Built) -> None:
    inputs = np.random.default_rng(1).uniform(-1, 1, (5, 3, 16, 16)).astype(np.float32)
    results = validate_members(built.proto, [network], inputs, traced=built.traced)
    assert len(results) == len(available_isas()) + 3
    assert all(result.ok for result in results), results
    # The codes are compared like signs.
    assert all(result.compared_bits > 5 * 3 * 16 * 16 for result in results[:-1])


@pytest.mark.parametrize("layer", ["stem", "short", "head"])
def test_a_wrong_weight_is_found(network: nn.Module, built: onnx_model.Built, layer: str) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(built.proto)
    (node,) = (n for n in proto.graph.node if n.name == layer)
    (tensor,) = (t for t in proto.graph.initializer if t.name == node.input[1])
    array = numpy_helper.to_array(tensor).copy()
    array.flat[0] ^= 64
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    inputs = np.random.default_rng(1).uniform(-1, 1, (5, 3, 16, 16)).astype(np.float32)
    (result,) = validate_members(proto, [network], inputs, traced=built.traced, engine="sbn")
    assert not result.ok


def test_a_wrong_range_is_found(network: nn.Module, built: onnx_model.Built) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(built.proto)
    (layer,) = (n for n in proto.graph.node if n.name == "short")
    (quantize,) = (n for n in proto.graph.node if n.output[0] == layer.input[0])
    other, quantize.input[0] = quantize.input[0], "moved"
    offset = numpy_helper.from_array(np.float32([0.3]), "offset")
    proto.graph.initializer.append(offset)
    at = list(proto.graph.node).index(quantize)
    proto.graph.node.insert(at, onnx.helper.make_node("Add", [other, "offset"], ["moved"]))
    inputs = np.random.default_rng(1).uniform(-1, 1, (5, 3, 16, 16)).astype(np.float32)
    (result,) = validate_members(proto, [network], inputs, traced=built.traced, engine="sbn")
    assert (result.ok, result.first_layer) == (False, "short.codes")


def test_kernels_and_functions_give_the_same_bits(built: onnx_model.Built) -> None:
    inputs = np.random.default_rng(2).uniform(-1, 1, (3, 3, 16, 16)).astype(np.float32)
    model = built.proto.SerializeToString()
    feed = as_feed(built.proto, [inputs])
    expected = stock_engine(model, threads=1).run(feed)["logits"]
    for isa in available_isas():
        found = kernel_engine(model, threads=1, isa=isa).run(feed)["logits"]
        assert np.array_equal(found, expected)


def test_the_range_has_zero_and_misses_little() -> None:
    for low, high in ((-1.0, 3.0), (0.0, 6.0), (2.0, 6.0), (-5.0, -2.0)):
        given = Range(low, high)
        x = np.linspace(min(low, 0), max(high, 0), 1001)
        codes = np.clip(np.round(x / given.step) + given.zero, 0, 255)
        assert np.abs((codes - given.zero) * given.step - x).max() <= 0.501 * given.step + 1e-6
        assert 0 <= given.zero <= 255
    assert Range(0.0, 0.0).step > 0


def test_weights_are_as_near_as_whole_numbers_can_be() -> None:
    weights = np.random.default_rng(0).normal(size=(7, 3, 2, 2)).astype(np.float32)
    weights[3] = 0
    steps, whole = whole_weights(weights)
    assert np.abs(whole.reshape(7, -1)).max(1).tolist() == [127] * 3 + [0] + [127] * 3
    error = np.abs(whole * steps[:, None, None, None] - weights).reshape(7, -1).max(1)
    assert (error <= 0.5001 * steps).all()


def test_what_costs_too_much_stays_float(network: nn.Module, data: str) -> None:
    """A range that is far too small ruins one layer; only that one is left out."""
    sample = eight_bits.load_sample(data, "classification", PIXELS)
    traced = trace(network, torch.randn(2, 3, 16, 16))
    names = ["stem", "short", "head"]
    ranges, refused = eight_bits.measure([traced.onnx(network)], names, sample.inputs)
    assert ranges.keys() == {*names}
    assert not refused
    ranges["stem"] = Range(0.0, 1e-3)
    make = partial(onnx_model.assembled, traced, [network], "classification", (), {}, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eight_bits, "MOST_LOST", 0.1)
        chosen = eight_bits.choose(
            make({}).proto, ranges, {"other": "why"}, lambda some: make(some).proto, sample
        )
    assert chosen.float_layers == {"other": "why", "stem": "8 bits cost too much accuracy"}
    assert chosen.ranges.keys() == {"short", "head"}
    assert chosen.before - chosen.after <= 0.1
    assert "2 layers compute in 8 bits" in str(chosen)


@pytest.mark.parametrize(
    ("layer", "shape", "why"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), (4, 5, 5), "without groups"),
        (nn.ConvTranspose2d(4, 4, 3), (4, 5, 5), "this is a ConvTranspose"),
        (nn.Linear(5000, 3), (5000,), "at most 4,096 products"),
        (nn.Conv2d(4, 4, 3), (4, 5, 5), ""),
        (nn.Linear(9, 3), (9,), ""),
        (nn.Linear(9, 3), (4, 9), ""),
    ],
)
def test_which_layers_can_be(layer: nn.Module, shape: tuple[int, ...], why: str) -> None:
    traced = trace(layer.eval(), torch.randn(2, *shape))
    (node,) = (n for n in traced.model.graph if n.op_type in _LAYERS)
    found = problem(node)
    assert why in found if why else not found
    assert isinstance(node, ir.Node)


_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def test_a_sequence_of_rows(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 20), nn.Linear(20, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.where(self.first(x) < 0, -1.0, 1.0)).mean(1)

    network = Rows().eval()
    path = tmp_path / "rows.npz"
    x = np.random.default_rng(0).normal(size=(60, 4, 6)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(60) % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eight_bits, "MOST_LOST", 1.0)
        built = onnx_model.build([network], torch.randn(2, 4, 6), int8=f"npz:{path}")
    assert {layer.name for layer in built.lowered.layers if layer.kind == "int8"} >= {"first"}
    (result,) = validate_members(built.proto, [network], x[:3], traced=built.traced, engine="sbn")
    assert result.ok


def test_a_network_without_a_task_has_no_measure(network: nn.Module, data: str) -> None:
    with pytest.raises(ConfigError, match="give one with --task"):
        onnx_model.build([network], torch.randn(2, 3, 16, 16), task="none", int8=data)


def test_images_need_their_preprocessing(network: nn.Module, data: str) -> None:
    with pytest.raises(ConfigError, match="add --preprocess"):
        onnx_model.build([network], torch.randn(2, 3, 16, 16), int8=data)


def test_numbers_that_are_not_finite(network: nn.Module) -> None:
    traced = trace(network, torch.randn(2, 3, 16, 16))
    images = np.full((2, 3, 16, 16), np.inf, np.float32)
    with pytest.raises(ModelError, match="NaN or infinity"):
        eight_bits.measure([traced.onnx(network)], ["stem"], images)


def test_a_file_without_codes_is_refused(network: nn.Module, built: onnx_model.Built) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(built.proto)
    (layer,) = (n for n in proto.graph.node if n.name == "short")
    (quantize,) = (n for n in proto.graph.node if n.output[0] == layer.input[0])
    quantize.op_type = "DynamicQuantizeLinear"
    inputs = np.zeros((2, 3, 16, 16), np.float32)
    with pytest.raises(ModelError, match="the values of short are not those of the network"):
        validate_members(proto, [network], inputs, traced=built.traced, engine="sbn")
