"""What stands around a shortcut is computed with the binary layer before it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbn_converters.onnx.noise import Draw
from sbn_deploy.export import Noise, onnx_model
from sbn_deploy.materialize.signs import noise_table
from sbn_deploy.nn import noise as noises
from sbn_deploy.oracle import validate_members

from ..sampled import few
from .random_networks import BinaryDense, Shift, Sign, batch_norm, exact, random_signs


def bent(channels: int) -> nn.Module:
    """A PReLU shifted in both directions, as ReActNet has them."""
    return nn.Sequential(Shift(channels, 1, 1), nn.PReLU(channels, init=0.3), Shift(channels, 1, 1))


class Block(nn.Module):
    """after(x + before(norm(conv(sign(shift(x))))))"""

    def __init__(
        self, before: nn.Module | None = None, after: nn.Module | None = None, channels: int = 6
    ) -> None:
        super().__init__()
        self.shift, self.sign = Shift(channels, 1, 1), Sign()
        self.register_buffer("weight", random_signs(channels, channels, 3, 3))
        self.norm = batch_norm(channels, 9 * channels, two_dimensional=True)
        self.before, self.after = before or nn.Identity(), after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        signs = self.sign(self.shift(x))
        v = self.norm(functional.conv2d(signs, self.weight, padding=1))
        return self.after(x + self.before(v))


def operators(network: nn.Module, channels: int = 6) -> list[onnx.NodeProto]:
    """The nodes of a network that every engine answers as torch does."""
    torch.manual_seed(1)
    shape = (channels, 5, 5)
    built = exact([network.eval()], torch.randn(4, *shape), torch.randn(3, *shape))
    return list(built.proto.graph.node)


def kinds(network: nn.Module, channels: int = 6) -> list[str]:
    return [node.op_type for node in operators(network, channels)]


ACTIVATIONS = {
    "none": lambda: nn.Identity(),
    "prelu": lambda: nn.PReLU(6, init=0.3),
    "rprelu": lambda: bent(6),
    "leaky": lambda: nn.LeakyReLU(0.2),
    "clamp": lambda: nn.Hardtanh(-0.5, 1),
    "norm": lambda: batch_norm(6, 4, two_dimensional=True),
    "all": lambda: nn.Sequential(bent(6), nn.Hardtanh(-2, 1.5)),
}


@pytest.mark.parametrize("after", few(ACTIVATIONS, 3))
@pytest.mark.parametrize("before", few(ACTIVATIONS, 1))
def test_blocks_are_one_operator_each(before: str, after: str) -> None:
    torch.manual_seed(0)
    blocks = [Block(ACTIVATIONS[before](), ACTIVATIONS[after]()) for _ in range(3)]
    network = nn.Sequential(*blocks, Shift(6, 1, 1), Sign(), nn.Flatten(), BinaryDense(150, 4))
    assert kinds(network) == [
        *["Transpose", "PackThreshold", "ConvActivate", "ConvActivate", "ConvActivate"],
        *["Reshape", "DenseScale", "Softmax"],
    ]


def test_a_step_that_does_not_fit_stays() -> None:
    """After a clamp nothing more is taken; what follows is computed on floats."""
    torch.manual_seed(0)
    block = Block(None, nn.Sequential(nn.Hardtanh(), nn.PReLU(6), nn.Hardtanh(-0.5, 0.5)))
    found = kinds(nn.Sequential(block, Block(), Sign(), nn.Flatten(), BinaryDense(150, 4)))
    assert found[2] == "ConvActivate"
    assert "Clip" in found


class SignsOfTheSum(nn.Module):
    """Both the signs of a sum and what a PReLU makes of it are used."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.sign, self.prelu = Block(), Sign(), nn.PReLU(6)
        self.register_buffer("weight", random_signs(6, 6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        total = self.block(x)
        return self.prelu(total) + functional.conv2d(self.sign(total), self.weight)


def test_signs_before_an_activation_are_kept() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(SignsOfTheSum(), nn.Flatten(), Sign(), BinaryDense(150, 4))
    assert "ConvResidual" in kinds(network)


class Double(nn.Module):
    """Two layers side by side, and one activation for both, where channels double."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.after = Block(), Block(), bent(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(torch.cat([self.first(x), self.second(x)], dim=1))


def test_activations_behind_a_concatenation_come_before_it() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(Double(), Block(channels=12), Sign(), nn.Flatten())
    found = kinds(nn.Sequential(network, BinaryDense(300, 4)))
    assert found.count("ConvActivate") == 2
    assert not {"Add", "Mul", "Max", "PRelu"} & set(found)


class Rows(nn.Module):
    """A dense layer with a shortcut."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.sign, self.dense = Sign(), BinaryDense(features, features)
        self.norm = batch_norm(features, features, two_dimensional=False)
        self.prelu, self.shift = nn.PReLU(features, init=0.4), Shift(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.shift(self.prelu(x + self.norm(self.dense(self.sign(x)))))


def test_dense_layers_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), Rows(70), Rows(70), Sign(), BinaryDense(70, 3)).eval()
    built = exact([network], torch.randn(4, 70), torch.randn(5, 70))
    found = [node.op_type for node in built.proto.graph.node]
    assert found == ["Pack", "DenseActivate", "DenseActivate", "DenseScale", "Softmax"]


def test_rows_that_change_nothing_say_so() -> None:
    """The library leaves out steps whose rows are neutral."""
    torch.manual_seed(0)
    blocks = (Block(None, nn.PReLU(6)), Block())
    network = nn.Sequential(*blocks, Sign(), nn.Flatten(), BinaryDense(150, 4))
    torch.manual_seed(1)
    built = exact([network.eval()], torch.randn(4, 6, 5, 5))
    node = next(node for node in built.proto.graph.node if node.op_type == "ConvActivate")
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in built.proto.graph.initializer}
    inner, outer = (arrays[name] for name in node.input[4:6])
    neutral = np.array([0, 1, 1, 0, -np.inf, np.inf], np.float32)[:, None]
    assert (inner == neutral).all()
    assert ((outer == neutral).all(axis=1) == [True, False, True, True, True, True]).all()


def test_noise_before_and_behind_a_shortcut() -> None:
    """A block whose signs are drawn; its shortcut comes from before the noise."""
    torch.manual_seed(0)
    blocks = (Block(None, bent(6)), Block(nn.PReLU(6), bent(6)), Block())
    network = nn.Sequential(*blocks, Sign(), nn.Flatten(), BinaryDense(150, 4)).eval()
    table = noise_table(noises.get("logistic"))
    draws = {f"{block}.sign": Draw(table, 0.5) for block in (1, 2)}
    x = torch.randn(3, 6, 5, 5)
    made = onnx_model.build([network], x, noise=Noise(draws, 3, 5))
    results = validate_members(
        made.proto, [network], x.numpy(), stochastic=draws, traced=made.traced
    )
    assert [result for result in results if not result.ok] == []
    assert "ConvActivate" in {node.op_type for node in made.proto.graph.node}
