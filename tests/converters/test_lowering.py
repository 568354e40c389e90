"""What the exporter makes of the patterns that networks are built from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbn_converters.onnx.inspect import inspect_model, metadata, working_memory
from sbn_converters.ops import MAX_EXACT_PIXEL_PRODUCTS, MAX_PADDED_PIXELS
from sbn_deploy.export import ExportReport, export_model
from sbn_deploy.export.onnx_model import Built
from sbn_deploy.oracle import validate_members
from sbn_runtime.errors import ModelError, OutputError, UnsupportedLayerError
from sbn_runtime.preprocess import Preprocess

from ..sampled import few
from .random_networks import BinaryDense, Sign, batch_norm, exact, random_signs


class Convolution(nn.Module):
    """A binary 3x3 convolution with any weights."""

    def __init__(self, weight: Tensor, padding: int = 1) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, padding=self.padding)


def _export(tmp_path: Path, network: nn.Module, shape: tuple[int, ...]) -> ExportReport:
    torch.manual_seed(1)
    return export_model([network.eval()], torch.randn(4, *shape), tmp_path / "model.onnx")


def _packed(network: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """The operators of a network of which every layer is packed, and exact."""
    torch.manual_seed(1)
    built = exact([network.eval()], torch.randn(4, *shape), torch.randn(3, *shape))
    assert _floats(built) == []
    return [node.op_type for node in built.proto.graph.node]


def _floats(built: Built) -> list[str]:
    """The names of the layers that stayed float."""
    return [layer.name for layer in built.lowered.layers if layer.kind == "float"]


def _head(features: int) -> list[nn.Module]:
    return [nn.Flatten(), BinaryDense(features, 4)]


def test_tensors_stay_packed_between_binary_layers() -> None:
    network = nn.Sequential(
        Sign(),
        Convolution(random_signs(70, 3, 3, 3)),
        batch_norm(70, 27, two_dimensional=True),
        Sign(),
        nn.MaxPool2d(2),
        Convolution(random_signs(5, 70, 3, 3)),
        nn.MaxPool2d(2),
        batch_norm(5, 630, two_dimensional=True),
        Sign(),
        *_head(20),
    )
    ops = _packed(network, (3, 8, 8))
    assert ops == [
        "Transpose",
        "Pack",
        "ConvThreshold",
        "MaxPool",
        "ConvThreshold",
        "MaxPool",
        "Reshape",
        "DenseScale",
        "Softmax",
    ]


class Residual(nn.Module):
    """x + norm(activation(conv(sign(x))))."""

    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.sign = Sign()
        self.conv = Convolution(random_signs(6, 6, 3, 3))
        self.activation = activation or nn.Identity()
        self.norm = batch_norm(6, 54, two_dimensional=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.activation(self.conv(self.sign(x))))


@pytest.mark.parametrize("activation", few([None, nn.ReLU(), nn.Hardtanh(-7, 9)], 1))
def test_residual_blocks_are_one_operator_each(activation: nn.Module | None) -> None:
    blocks = [Residual(activation) for _ in range(3)]
    network = nn.Sequential(*blocks, Sign(), *_head(150))
    ops = _packed(network, (6, 5, 5))
    # The image is turned to channels last for its signs and as first shortcut, then nothing is.
    assert ops == [
        *["Transpose", "Pack", "ConvResidual", "ConvResidual", "ConvResidual"],
        *["Reshape", "DenseScale", "Softmax"],
    ]


@pytest.mark.parametrize(
    ("steps", "op"),
    [
        ([nn.PReLU(6, init=0.3)], "ConvScalePRelu"),
        ([nn.PReLU(6, init=-0.3)], "ConvScalePRelu"),
        ([nn.Hardtanh()], "ConvScaleClamp"),
        ([nn.ReLU6()], "ConvScaleClamp"),
        ([nn.ReLU()], "ConvScaleClamp"),
        ([], "ConvScale"),
    ],
)
def test_activations_are_computed_with_the_convolution(steps: list[nn.Module], op: str) -> None:
    norm = batch_norm(6, 27, two_dimensional=True)
    convolution = Convolution(random_signs(6, 3, 3, 3))
    network = nn.Sequential(Sign(), convolution, norm, *steps, nn.AvgPool2d(2), nn.Flatten())
    ops = _packed(network, (3, 4, 4))
    expected = ["Transpose", "Pack", op, "FloatDepthwiseConv", "Transpose", "Reshape", "Softmax"]
    assert ops == expected


class PixelConvolution(nn.Module):
    """Whole-number weights on round(255 x) with a black or white border."""

    def __init__(
        self,
        outputs: int,
        border: float,
        stride: int = 1,
        kernel: tuple[int, int, int] = (3, 3, 3),
    ) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(-127, 128, (outputs, *kernel)).float())
        self.border, self.stride = border, stride

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(torch.round(x * 255), (1, 1, 1, 1), value=255 * self.border)
        return functional.conv2d(x, self.weight, stride=self.stride)


def _pixels(*shape: int) -> Tensor:
    return (2 * torch.randint(0, 256, shape) - 255).float() / 255


@pytest.mark.parametrize(
    ("border", "pool"), few([(-1.0, True), (-1.0, False), (1.0, True), (1.0, False)], 2)
)
def test_first_layers_compute_on_pixels(border: float, pool: bool) -> None:
    torch.manual_seed(3)
    norm = batch_norm(9, 27 * 127**2 * 200**2, two_dimensional=True)
    between: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    features = 9 * 16 // (4 if pool else 1)
    network = nn.Sequential(
        PixelConvolution(9, border), *between, norm, Sign(), *_head(features)
    ).eval()
    built = exact([network], _pixels(5, 3, 4, 4))
    ops = [node.op_type for node in built.proto.graph.node]
    assert ops[0] == "PixelConvThreshold"
    assert "Transpose" not in ops
    assert built.proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert _floats(built) == []


def test_first_layers_on_pixels_give_floats_too() -> None:
    torch.manual_seed(4)
    norm = batch_norm(8, 27 * 127**2 * 200**2, two_dimensional=True)
    network = nn.Sequential(PixelConvolution(8, -1.0, 2), norm, Residual8(), *_head(32)).eval()
    built = exact([network], _pixels(3, 3, 4, 4))
    ops = [node.op_type for node in built.proto.graph.node]
    assert ops[:3] == ["PixelConvScale", "Pack", "ConvResidual"]


@pytest.mark.parametrize("more", [0, 1])
def test_first_layers_on_pixels_have_few_products(more: int) -> None:
    torch.manual_seed(5)
    channels = MAX_EXACT_PIXEL_PRODUCTS // 2 + more
    first = PixelConvolution(4, -1.0, kernel=(channels, 2, 1))
    first.weight[:2] = first.weight[:2].sign() * 127
    norm = batch_norm(4, 2 * channels * 127**2 * 200**2, two_dimensional=True)
    network = nn.Sequential(first, norm, Sign(), *_head(4 * 5 * 6)).eval()
    x = _pixels(3, channels, 4, 4)
    x[0] = x[0].sign()
    x[0, :, 0, 0] = first.weight[0, :, 0, 0].sign()  # the largest sum
    built = exact([network], x)
    on_pixels = [node for node in built.proto.graph.node if node.op_type.startswith("PixelConv")]
    assert (len(on_pixels), _floats(built)) == ((0, ["0"]) if more else (1, []))


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    network = nn.Sequential(Sign(), nn.Linear(4, 3)).eval()
    network[1].weight.data[1, 2] = torch.nan
    with pytest.raises(ModelError, match=r"1\.weight contains NaN, 1 of 12 numbers"):
        export_model(network, torch.randn(2, 4), tmp_path / "model.onnx")


def test_weights_without_a_shape(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"0\.weight has no shape yet; run the module once"):
        export_model(nn.Sequential(nn.LazyLinear(3)), torch.randn(2, 4), tmp_path / "model.onnx")


def test_images_of_other_pixels_stay_floats(tmp_path: Path) -> None:
    """Of pixels up to 16, 255 x is no odd whole number."""
    torch.manual_seed(3)
    norm = batch_norm(9, 27 * 127**2 * 200**2, two_dimensional=True)
    network = nn.Sequential(PixelConvolution(9, -1.0), norm, Sign(), *_head(9 * 16)).eval()
    preprocess = Preprocess(3, 4, 4, 16, (0.5,) * 3, (0.5,) * 3)
    x = torch.from_numpy(
        preprocess.apply(np.random.default_rng(0).integers(0, 17, (5, 4, 4, 3), "u1"))
    )
    report = export_model(network, x, tmp_path / "model.onnx", preprocess=preprocess)
    assert "8-bit pixels" in report.float_layers["0"]
    model = onnx.load(report.path)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert all(result.ok for result in validate_members(model, [network], x.numpy()))


class Residual8(nn.Module):
    """A residual block of 8 channels and the signs of its result."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Convolution(random_signs(8, 8, 3, 3))
        self.sign = Sign()

    def forward(self, x: Tensor) -> Tensor:
        return self.sign(x + self.conv(self.sign(x)))


def test_layers_with_other_weights_stay_float_and_say_why(tmp_path: Path) -> None:
    network = nn.Sequential(Sign(), Convolution(torch.randn(4, 3, 3, 3)), Sign(), *_head(100))
    report = _export(tmp_path, network, (3, 5, 5))
    assert "more than two values" in report.float_layers["1"]
    layer = next(layer for layer in inspect_model(report.path) if layer.kind == "float")
    assert "more than two values" in layer.why
    assert layer.float_macs == 4 * 27 * 25
    x = torch.randn(3, 3, 5, 5).numpy()
    assert all(result.ok for result in validate_members(onnx.load(report.path), [network], x))


class Wide(nn.Module):
    """Layers of three kinds with a window, whose pads may be more than operators take."""

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.register_buffer("pixels", torch.randint(-127, 128, (2, 3, 1, 3)).float())
        self.register_buffer("signs", random_signs(2, 2, 1, 3))
        self.register_buffer("depthwise", torch.randn(2, 1, 1, 3))
        self.pad = pad
        self.sign = Sign()

    def forward(self, x: Tensor) -> Tensor:
        wide = {"padding": [0, self.pad], "stride": [1, 2048]}
        pixels = functional.pad(torch.round(x * 255), (self.pad, self.pad, 0, 0), value=255.0)
        first = self.sign(functional.conv2d(pixels, self.pixels, stride=[1, 2048]))
        second = functional.conv2d(first, self.signs, **wide)
        third = functional.conv2d(second, self.depthwise, groups=2, **wide)
        # A dilated kernel may have pads of its size, and more.
        dilated = functional.conv2d(self.sign(third), self.signs, dilation=[1, 9], padding=[0, 20])
        return dilated.flatten(1)


@pytest.mark.parametrize("more", [0, 1])
def test_padding_beyond_what_operators_take_stays_float(tmp_path: Path, more: int) -> None:
    torch.manual_seed(6)
    pad = (MAX_PADDED_PIXELS - 8) // 2 + more
    network, x = Wide(pad).eval(), _pixels(2, 3, 1, 8)
    report = export_model(network, x, tmp_path / "model.onnx")
    ops = {node.op_type for node in onnx.load(report.path).graph.node}
    windows = {"PixelConvThreshold", "FloatDepthwiseConv"}
    assert ops & windows == (set() if more else windows)
    assert "ConvScale" in ops
    assert len(report.float_layers) == 1 + 2 * more
    why = [reason for reason in report.float_layers.values() if "attribute pads" in reason]
    assert len(why) == 2 * more
    assert all("at most 16384 pixels, or 16 times their own" in reason for reason in why)
    results = validate_members(onnx.load(report.path), [network], x.numpy())
    assert all(result.ok for result in results)


def test_first_layer_on_real_input_stays_float_and_says_why(tmp_path: Path) -> None:
    network = nn.Sequential(Convolution(random_signs(8, 1, 3, 3)), Sign(), *_head(128))
    report = _export(tmp_path, network, (1, 4, 4))
    assert report.float_layers == {"0": "its input is not made of signs: it is the network's input"}


def test_inspect_counts_macs_and_bytes(tmp_path: Path) -> None:
    network = nn.Sequential(
        Sign(), Convolution(random_signs(70, 100, 3, 3), padding=0), Sign(), *_head(70 * 4)
    )
    report = _export(tmp_path, network, (100, 4, 4))
    layers = {layer.name: layer for layer in inspect_model(report.path)}
    conv, dense = layers["1"], layers["4"]
    assert (conv.op, conv.kind) == ("sbn.ConvThreshold", "binary")
    assert conv.input_shape == (4, 4, 100)
    assert conv.output_shape == (2, 2, 70)
    assert conv.binary_macs == 70 * 100 * 9 * 4
    assert conv.packed_bytes == 70 * 9 * 2 * 8
    assert dense.binary_macs == 280 * 4
    assert dense.fused == ("MatMul",)
    # The largest operator turns 100 x 4 x 4 floats to channels last.
    assert working_memory(report.path) == 2 * 4 * 4 * 4 * 100


def test_ensembles_share_what_members_have_in_common() -> None:
    first = Convolution(random_signs(8, 3, 3, 3))
    members = [
        nn.Sequential(Sign(), first, Sign(), nn.Flatten(), BinaryDense(200, 4)).eval()
        for _ in range(3)
    ]
    x = torch.randn(6, 3, 5, 5)
    model = exact(members, x).proto
    ops = [node.op_type for node in model.graph.node]
    assert ops.count("ConvThreshold") == 1
    assert ops.count("DenseScale") == 3
    assert [output.name for output in model.graph.output] == ["member_logits", "probabilities"]
    assert metadata(model)["members"] == 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    logits, probabilities = session.run(None, {"input": x.numpy()})
    with torch.no_grad():
        expected = torch.stack([member(x) for member in members])
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(probabilities, expected.softmax(-1).mean(0).numpy(), rtol=1e-5)


def test_files_carry_no_trace_of_the_machine_they_were_made_on(tmp_path: Path) -> None:
    report = _export(tmp_path, nn.Sequential(Sign(), *_head(12)), (3, 2, 2))
    data = report.path.read_bytes()
    assert b"site-packages" not in data
    assert str(Path(__file__).parent).encode() not in data


def test_a_network_that_decides_by_its_activations_keeps_the_way_of_the_example(
    tmp_path: Path,
) -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.flatten(1)
            return y if y.abs().max() < 100 else -y

    report = _export(tmp_path, Branching(), (3, 2, 2))
    (note,) = report.notes
    assert "test_lowering.py" in note
    assert "branches on a number taken out of activations" in note


def test_a_network_that_raises_is_refused_in_one_line(tmp_path: Path) -> None:
    class Raises(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("not today\nnor tomorrow")

    with pytest.raises(UnsupportedLayerError) as raised:
        _export(tmp_path, Raises(), (3, 2, 2))
    assert "Raises cannot run on the example at test_lowering.py:" in str(raised.value)
    assert str(raised.value).endswith("RuntimeError: not today")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _export(tmp_path, nn.Sequential(Sign(), *_head(12)), (3, 2, 2))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose a writable folder"):
        _export(tmp_path / "file", nn.Sequential(Sign(), *_head(12)), (3, 2, 2))
