"""What becomes of the patterns that networks are built from in LCE's operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from sbn_converters.onnx.functions import function_protos
from sbn_converters.onnx.inspect import load_model
from sbn_converters.tflite.from_onnx import translate
from sbn_converters.tflite.model import Model
from sbn_converters.tflite.read import read
from sbn_converters.tflite.write import write
from sbn_deploy.export import export_model
from sbn_deploy.lce.process import run_lce
from sbn_deploy.materialize import Form
from sbn_deploy.nn import EightBitConv2d
from sbn_deploy.untrained import export_untrained
from sbn_runtime.engines.onnxruntime import session_options
from sbn_runtime.errors import UnsupportedLayerError
from tests.benchmark.test_untrained import SMALL
from tests.converters.random_networks import (
    BinaryConv,
    BinaryDense,
    ConvSpec,
    Sign,
    batch_norm,
)
from tests.sampled import few

from .lce import exact, needs_lce, normal, operators, translated


def convolution(inputs: int, outputs: int, kernel: int = 3, **changes: object) -> nn.Module:
    """A binary convolution with a border of +1 that keeps the size."""
    settings: dict[str, object] = {
        "channels": outputs,
        "kernel": kernel,
        "stride": 1,
        "dilation": 1,
        "padding": kernel // 2,
        "border": 1,
        "groups": 1,
        "pool": "",
        "bias": False,
        "residual": False,
        "activation": "",
    }
    return BinaryConv(inputs, ConvSpec(**{**settings, **changes}), bias=False)  # type: ignore[arg-type]


def block(inputs: int, outputs: int, **changes: object) -> list[nn.Module]:
    """A binary convolution, batch-norm with scales of both signs and ties, and a sign."""
    layer = convolution(inputs, outputs, **changes)  # type: ignore[arg-type]
    return [layer, batch_norm(outputs, 9 * inputs, two_dimensional=True), Sign()]


def head(features: int) -> list[nn.Module]:
    """A binary layer to four classes."""
    return [nn.Flatten(), BinaryDense(features, 4), batch_norm(4, features, two_dimensional=False)]


def checked(*layers: nn.Module, channels: int, size: int) -> Model:
    """The TFLite model of the layers, compared with torch in LCE."""
    shortcuts = any(isinstance(layer, Residual) for layer in layers)
    return exact(nn.Sequential(*layers), normal(3, channels, size, size), may_tie=shortcuts)


def options(model: Model, name: str) -> list[dict[str, object]]:
    return [dict(op.options) for op in model.operators if op.name == name]


@needs_lce
def test_tensors_stay_packed_between_binary_layers() -> None:
    torch.manual_seed(0)
    model = checked(
        Sign(), *block(40, 70), *block(70, 33), nn.MaxPool2d(2), *head(33 * 9), channels=40, size=6
    )
    assert operators(model) == [
        "LceQuantize",
        "LceBconv2d",
        "LceBconv2d",
        "LceBMaxPool2d",
        "LceBconv2d",
        "RESHAPE",
        "SOFTMAX",
    ]
    assert [kept["padding"] for kept in options(model, "LceBconv2d")] == [0, 0, 1]


@needs_lce
@pytest.mark.long
def test_torch_padding_with_stride_two_is_a_border_of_clear_bits() -> None:
    torch.manual_seed(0)
    layers = [Sign(), *block(33, 20, stride=2), *head(20 * 16)]
    model = checked(*layers, channels=33, size=8)
    assert operators(model)[:3] == ["LceQuantize", "PAD", "LceBconv2d"]
    # On odd sizes TFLite's SAME is the same border.
    torch.manual_seed(0)
    layers = [Sign(), *block(33, 20, stride=2), *head(20 * 16)]
    model = checked(*layers, channels=33, size=7)
    assert operators(model)[:2] == ["LceQuantize", "LceBconv2d"]


@needs_lce
def test_borders_of_minus_one_turn_signs_and_weights() -> None:
    torch.manual_seed(0)
    layers = [Sign(), *block(33, 20, border=-1), *head(20 * 16)]
    model = checked(*layers, channels=33, size=4)
    assert operators(model)[:3] == ["LceQuantize", "BITWISE_XOR", "LceBconv2d"]


@needs_lce
@pytest.mark.parametrize(
    ("channels", "changes", "convolutions"),
    few([(34, {}, 1), (33, {}, 2), (34, {"stride": 2}, 2), (34, {"padding": 2}, 2)], 2),
)
def test_borders_of_zero(channels: int, changes: dict[str, int], convolutions: int) -> None:
    """LCE's own where it has one, else from borders of +1 and -1, with the weights kept once."""
    torch.manual_seed(0)
    layer = block(channels, 20, border=0, **changes)
    size = layer[0](torch.zeros(1, channels, 6, 6)).shape[-1]
    model = checked(Sign(), *layer, *head(20 * size**2), channels=channels, size=6)
    assert operators(model).count("LceBconv2d") == convolutions + 1
    assert operators(model).count("LceQuantize") == 2
    assert ("PAD" in operators(model)) == ("stride" in changes or "padding" in changes)


@needs_lce
@pytest.mark.parametrize("size", few([1, 2], 1))
def test_images_smaller_than_the_kernel(size: int) -> None:
    """On which LCE's own border of 0 is wrong."""
    torch.manual_seed(0)
    layers = [Sign(), *block(34, 20, border=0), *head(20 * size**2)]
    model = checked(*layers, channels=34, size=size)
    assert operators(model).count("LceBconv2d") == 3


@needs_lce
@pytest.mark.long
def test_pooling_before_batch_norm_stays_packed() -> None:
    """Channels whose batch-norm falls are held the other way round, which costs nothing."""
    torch.manual_seed(0)
    layer, norm, sign = block(40, 70)
    model = checked(Sign(), layer, nn.MaxPool2d(2), norm, sign, *head(70 * 4), channels=40, size=4)
    assert operators(model)[1:4] == ["LceBconv2d", "LceBMaxPool2d", "LceBconv2d"]
    assert b'"turned"' in model.metadata["sbn"]
    # A border needs them upright.
    torch.manual_seed(0)
    layer, norm, sign = block(40, 70)
    layers = [Sign(), layer, nn.MaxPool2d(2), norm, sign, *block(70, 33), *head(33 * 4)]
    model = checked(*layers, channels=40, size=4)
    assert operators(model)[1:5] == ["LceBconv2d", "LceBMaxPool2d", "BITWISE_XOR", "LceBconv2d"]


@needs_lce
@pytest.mark.parametrize(
    ("channels", "outputs", "packed"), few([(64, 64, True), (24, 30, False)], 1)
)
@pytest.mark.long
def test_groups_are_convolutions_of_their_own(channels: int, outputs: int, packed: bool) -> None:
    torch.manual_seed(0)
    layers = [Sign(), *block(channels, outputs, groups=2), *head(outputs * 16)]
    model = checked(*layers, channels=channels, size=4)
    assert operators(model).count("LceBconv2d") == 3
    assert ("LceDequantize" in operators(model)) == (not packed)


@needs_lce
@pytest.mark.parametrize(
    ("clamp", "activation"),
    few([(nn.ReLU(), 1), (nn.Hardtanh(-1, 1), 2), (nn.ReLU6(), 3), (nn.Hardtanh(-3, 5), None)], 2),
)
def test_clamped_sums(clamp: nn.Module, activation: int | None) -> None:
    """LCE clamps sums before it scales them; for other limits there are MAXIMUM and MINIMUM."""
    torch.manual_seed(0)
    norm = batch_norm(20, 300, two_dimensional=True)
    layers = [Sign(), convolution(33, 20), clamp, norm, nn.AvgPool2d(2), nn.Flatten()]
    network, x = nn.Sequential(*layers).eval(), normal(2, 33, 4, 4)
    proto, model = translated(network, x)
    _same_numbers(proto, model, x.numpy())
    (kept,) = options(model, "LceBconv2d")
    assert kept["fused_activation_function"] == (activation or 0)
    assert ("MAXIMUM" in operators(model)) == (activation is None)


class Residual(nn.Module):
    """A binary convolution with a shortcut around it."""

    def __init__(self, channels: int, after: nn.Module) -> None:
        super().__init__()
        self.sign, self.layer = Sign(), convolution(channels, channels)
        self.norm = batch_norm(channels, 9 * channels, two_dimensional=True)
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.after(self.norm(self.layer(self.sign(x)))) + x
        return y


@needs_lce
@pytest.mark.parametrize(
    "after", few([nn.PReLU(40, init=0.3), nn.Identity(), nn.Hardtanh(-0.5, 2)], 1)
)
def test_shortcuts(after: nn.Module) -> None:
    torch.manual_seed(0)
    layers = [Residual(40, after), Residual(40, after), Sign(), *head(40 * 16)]
    model = checked(*layers, channels=40, size=4)
    assert operators(model).count("ADD") == 2


@needs_lce
def test_layers_that_were_trained_in_eight_bits() -> None:
    torch.manual_seed(0)
    layer = EightBitConv2d(8, 40, 3, padding=1)
    layer(normal(4, 8, 4, 4))
    model = checked(layer.fixed(), Sign(), *head(40 * 16), channels=8, size=4)
    assert "DIV" in operators(model)


@needs_lce
@pytest.mark.parametrize("arch", few(reversed(SMALL), 1))
def test_architectures(arch: str, tmp_path: Path) -> None:
    """The export itself compares the file with torch; here all kinds of kernels do."""
    onnx_file, tflite_file = tmp_path / "model.onnx", tmp_path / "model.tflite"
    export_untrained(arch, onnx_file, **SMALL[arch])
    report = export_untrained(arch, tflite_file, **SMALL[arch])
    assert report.file_bytes == tflite_file.stat().st_size
    proto, model = load_model(onnx_file), read(tflite_file.read_bytes())
    inputs = onnxruntime.InferenceSession(
        proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    ).get_inputs()[0]
    rng = np.random.default_rng(0)
    if "uint8" in inputs.type:
        _same_numbers(proto, model, rng.integers(0, 256, (3, *inputs.shape[1:]), np.uint8))
    else:
        _same_numbers(proto, model, rng.random((3, *inputs.shape[1:]), np.float32) * 2 - 1)


@needs_lce
@pytest.mark.long
def test_members_are_one_file(tmp_path: Path) -> None:
    """What members share is computed once; probabilities are averaged in the file."""
    path = tmp_path / "model.tflite"
    config = SMALL["cifar-vgg"]
    report = export_untrained("cifar-vgg", path, Form("sample", 3), **config)
    assert report.members == 3
    model = read(path.read_bytes())
    assert operators(model).count("CAST") == 1
    assert [model.tensors[index].name for index in model.outputs] == [
        "member_logits",
        "probabilities",
    ]
    assert model.tensors[model.outputs[0]].shape == (3, 1, 10)


def test_noise_is_for_onnx() -> None:
    node = helper.make_node("StochasticSign", ["x"] * 5, ["y"], domain="sbn", layer=0, fan_out=0)
    x = helper.make_tensor_value_info("x", onnx.TensorProto.INT16, [1, 4])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.UINT64, [1, 1])
    model = helper.make_model(helper.make_graph([node], "noise", [x], [y]))
    with pytest.raises(UnsupportedLayerError, match=r"noise is for ONNX files.*\.onnx"):
        translate(model)


def test_operators_without_counterpart_are_named(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(x, 1)

    with pytest.raises(UnsupportedLayerError, match=r"CumSum.*\.onnx"):
        export_model([Odd().eval()], normal(2, 5), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def _same_numbers(proto: onnx.ModelProto, model: Model, x: np.ndarray) -> None:
    """LCE gives what onnxruntime gives, but for rounding."""
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    expected = session.run(names, {session.get_inputs()[0].name: x})
    fed = np.moveaxis(x, 1, -1) if x.ndim == 4 and x.dtype == np.float32 else x
    found = run_lce(write(model), np.ascontiguousarray(fed))
    for name, mine, theirs in zip(names, found, expected, strict=True):
        np.testing.assert_allclose(
            mine.reshape(theirs.shape), theirs, rtol=1e-4, atol=1e-5, err_msg=name
        )


FLOAT_LAYERS: dict[str, nn.Module] = {
    "convolution": nn.Conv2d(6, 5, 3, padding=1, stride=2, bias=False),
    "dilated": nn.Conv2d(6, 5, 3, dilation=2),
    "depthwise": nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "grouped": nn.Conv2d(6, 4, 3, groups=2),
    "batch-norm": batch_norm(6, 9, two_dimensional=True),
    "max-pool": nn.MaxPool2d(3, stride=2, padding=1),
    "average-pool": nn.AvgPool2d(2),
    "padded average-pool": nn.AvgPool2d(3, padding=1),
    "global pool": nn.AdaptiveAvgPool2d(1),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "clamp": nn.Hardtanh(-0.3, 0.7),
    "prelu": nn.PReLU(6),
    "leaky relu": nn.LeakyReLU(0.2),
    "elu": nn.ELU(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "hardswish": nn.Hardswish(),
    "softmax": nn.Softmax(1),
}


class Beside(nn.Module):
    """Each layer on the same input, an output each."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers.values())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(layer(x) for layer in self.layers)


@needs_lce
def test_float_layers() -> None:
    torch.manual_seed(0)
    x = normal(2, 6, 7, 7)
    proto, model = translated(Beside(FLOAT_LAYERS), x)
    assert len(proto.graph.output) == len(FLOAT_LAYERS)
    _same_numbers(proto, model, x.numpy())


class Arithmetic(nn.Module):
    """Elementwise operators, slices and means, on images and on rows."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x * 2 - 1, torch.abs(x) / 3], 1)
        y = torch.maximum(y, y[:, :, ::2, :].mean(2, keepdim=True)) + y.new_ones(12, 1, 1)
        rows = torch.exp(-y.mean((2, 3)))
        return torch.sqrt(rows) + torch.log(rows.unsqueeze(1).squeeze(1))


@needs_lce
def test_arithmetic() -> None:
    x = normal(2, 6, 7, 7)
    proto, model = translated(Arithmetic().eval(), x)
    _same_numbers(proto, model, x.numpy())


@needs_lce
@pytest.mark.parametrize(("kernel", "pad_value"), few([(3, 0), (3, 255), (13, 255), (13, 0)], 2))
def test_first_layers_on_pixels_are_exact(kernel: int, pad_value: int) -> None:
    """Sums up to 255 * 127 * 507, where a bias of that size in the sum would be rounded."""
    rng = np.random.default_rng(kernel)
    weights = rng.choice(np.array([-127, 126, 127], np.int8), (9, kernel, kernel, 3))
    weights[0] = 127
    total = 255 * weights.astype(np.int64).sum(axis=(1, 2, 3))
    pixels = rng.integers(0, 256, (4, 15, 15, 3), np.uint8)
    pixels[0] = 255
    pixels[0, 0, 0, 0] = 254
    threshold = (total // 2).astype(np.int32)
    threshold[0] = total[0]
    pads = [kernel // 2, kernel // 2, kernel // 2, kernel // 2]
    graph = helper.make_graph(
        [
            helper.make_node(
                "PixelConvThreshold",
                ["input", "W", "T"],
                ["packed"],
                name="first",
                domain="sbn",
                strides=[2, 2],
                dilations=[1, 1],
                pads=pads,
                pad_value=pad_value,
            ),
            helper.make_node("Unpack", ["packed"], ["signs"], domain="sbn", channels=9),
        ],
        "pixels",
        [helper.make_tensor_value_info("input", onnx.TensorProto.UINT8, ["N", 15, 15, 3])],
        [helper.make_tensor_value_info("signs", onnx.TensorProto.FLOAT, ["N", 8, 8, 9])],
        [numpy_helper.from_array(weights, "W"), numpy_helper.from_array(threshold, "T")],
        value_info=[
            helper.make_tensor_value_info("packed", onnx.TensorProto.UINT64, ["N", 8, 8, 1])
        ],
    )
    proto = helper.make_model(
        graph,
        ir_version=9,
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("sbn", 1)],
        functions=list(function_protos().values()),
    )
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(None, {"input": pixels})
    for kernels in ("optimized", "indirect", "reference"):
        (found,) = run_lce(write(translate(proto)), pixels, kernels=kernels)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found[:, 0], expected)
    assert len(np.unique(expected)) == 2


def test_the_batch_is_one_image(tmp_path: Path) -> None:
    report = export_model(
        [nn.Sequential(Sign(), *head(7)).eval()], normal(5, 7), tmp_path / "a.onnx"
    )
    model = translate(load_model(report.path))
    assert model.tensors[model.inputs[0]].shape == (1, 7)
