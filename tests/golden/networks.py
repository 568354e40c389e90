"""The networks that the golden files were exported from, and how to add one.

`python -m tests.golden.networks` exports every network of NETWORKS that has no files
yet: NAME.onnx, and NAME.npz with inputs and what the runtime answers. Files that exist
are never written again: they stand for those that users have, which must give the same
answers as long as operators keep their version. What an entry says may change later;
its file stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sbn_converters.onnx.noise import Draw
from sbn_deploy.export import Noise, export_model
from sbn_deploy.materialize.signs import noise_table
from sbn_deploy.nn import noise as noises
from sbn_runtime import Session

from ..converters.random_networks import BinaryDense, Shift, Sign, batch_norm, random_signs

HERE = Path(__file__).parent
SEED = 5


class Conv(nn.Conv2d):
    """A binary 3×3 convolution without bias."""

    def __init__(self, inputs: int, outputs: int, **options: int) -> None:
        super().__init__(inputs, outputs, 3, bias=False, **options)
        self.weight.data = random_signs(*self.weight.shape)


class Shortcut(nn.Sequential):
    """x plus what the layers make of it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Pixels(nn.Conv2d):
    """A 3×3 convolution with whole weights of whole pixels, black beyond the border."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, bias=False)
        self.weight.data = torch.randint(-127, 128, self.weight.shape).float()

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(torch.round(x * 255), (1, 1, 1, 1), value=-255.0)
        return super().forward(x)


def norm(channels: int, products: int) -> nn.Module:
    return batch_norm(channels, products, two_dimensional=True)


def norm1(channels: int, products: int) -> nn.Module:
    return batch_norm(channels, products, two_dimensional=False)


def pixels(*shape: int) -> Tensor:
    return (2 * torch.randint(0, 256, shape) - 255).float() / 255


@dataclass(frozen=True)
class Golden:
    """A network, the shape of its images, and whether they are 8-bit pixels."""

    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    pixels: bool = False
    task: str = "none"
    samples: int = 0  # in which its signs are drawn; 0: none are


PIXEL_PRODUCTS = 27 * 127**2 * 200**2

NETWORKS = {
    # To signs: a pool before the norm takes the minimum of some channels.
    "signs": Golden(
        lambda: nn.Sequential(
            norm(3, 1), Sign(), Conv(3, 70, padding=1), nn.MaxPool2d(2), norm(70, 27), Sign(),
            Conv(70, 9, stride=2, padding=1), norm(9, 630), Sign(),
        ),
        (3, 9, 8),
    ),
    "classes": Golden(
        lambda: nn.Sequential(
            Sign(), nn.Flatten(), BinaryDense(70, 65), norm1(65, 70), Sign(),
            BinaryDense(65, 4), norm1(4, 65),
        ),
        (70, 1, 1),
        task="classification",
    ),
    "shortcuts": Golden(
        lambda: nn.Sequential(
            Shortcut(Sign(), Conv(6, 6, padding=1), norm(6, 54)),
            Shortcut(Sign(), Conv(6, 6, padding=2, dilation=2), norm(6, 54)), Sign(),
            nn.Flatten(), BinaryDense(120, 20), norm1(20, 120),
            Shortcut(Sign(), BinaryDense(20, 20), norm1(20, 20)), Sign(), BinaryDense(20, 3),
        ),
        (6, 4, 5),
    ),
    "activations": Golden(
        lambda: nn.Sequential(
            Sign(), Conv(5, 12, padding=1), norm(12, 45), nn.Hardtanh(-0.5, 1.0),
            nn.AvgPool2d(2, 1), Sign(), Conv(12, 8), norm(8, 108), nn.PReLU(8), nn.AvgPool2d(2, 1),
            nn.Flatten(), Sign(), BinaryDense(32, 9), norm1(9, 32), nn.Hardtanh(-0.25, 0.5),
        ),
        (5, 6, 6),
    ),
    # Before and after shortcuts, with signs of shifted sums.
    "around_shortcuts": Golden(
        lambda: nn.Sequential(
            Shortcut(Shift(6, 1, 1), Sign(), Conv(6, 6, padding=1), norm(6, 54), nn.PReLU(6)),
            Shift(6, 1, 1), nn.PReLU(6), Shift(6, 1, 1), nn.Hardtanh(-2, 3),
            Shortcut(Shift(6, 1, 1), Sign(), Conv(6, 6, padding=1), norm(6, 54)), nn.LeakyReLU(),
            nn.Flatten(), Sign(), BinaryDense(120, 20), norm1(20, 120),
            Shortcut(Sign(), BinaryDense(20, 20), norm1(20, 20)), nn.PReLU(20), Shift(20), Sign(),
            BinaryDense(20, 3),
        ),
        (6, 4, 5),
    ),
    "dense_prelu": Golden(
        lambda: nn.Sequential(Sign(), BinaryDense(66, 7), norm1(7, 66), nn.PReLU(7)), (66,)
    ),
    # Floats in between: the largest of them, and a depthwise convolution.
    "floats": Golden(
        lambda: nn.Sequential(
            Sign(), Conv(4, 6, padding=1), norm(6, 36), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 6, 3, padding=1, groups=6), Sign(), Conv(6, 5, padding=1), norm(5, 54),
        ),
        (4, 8, 6),
    ),
    "pixels": Golden(
        lambda: nn.Sequential(
            Pixels(3, 9), norm(9, PIXEL_PRODUCTS), Sign(), Conv(9, 5), norm(5, 81)
        ),
        (3, 5, 4),
        pixels=True,
    ),
    "pixel_floats": Golden(
        lambda: nn.Sequential(
            Pixels(3, 8), norm(8, PIXEL_PRODUCTS),
            Shortcut(Sign(), Conv(8, 8, padding=1), norm(8, 72)),
        ),
        (3, 4, 4),
        pixels=True,
    ),
    "pixel_clamp": Golden(
        lambda: nn.Sequential(
            Pixels(1, 8), norm(8, PIXEL_PRODUCTS), nn.Hardtanh(-0.5, 1.0), nn.AvgPool2d(2),
            Sign(), Conv(8, 4, padding=1), norm(4, 72),
        ),
        (1, 6, 6),
        pixels=True,
    ),
    "noise": Golden(
        lambda: nn.Sequential(
            Sign(), Conv(3, 10, padding=1), nn.MaxPool2d(2), norm(10, 27), Sign(), nn.Flatten(),
            BinaryDense(40, 20), norm1(20, 40), Sign(), BinaryDense(20, 3), norm1(3, 20),
        ),
        (3, 4, 4),
        task="classification",
        samples=3,
    ),
    "pixel_noise": Golden(
        lambda: nn.Sequential(
            Pixels(3, 6), norm(6, PIXEL_PRODUCTS), Sign(), Conv(6, 4), norm(4, 54)
        ),
        (3, 4, 4),
        pixels=True,
        samples=2,
    ),
}  # fmt: skip


def make(name: str) -> None:
    """Writes the files of a network."""
    golden = NETWORKS[name]
    torch.manual_seed(SEED)
    network = golden.network().eval()
    x = pixels(3, *golden.shape) if golden.pixels else torch.randn(3, *golden.shape)
    noise = None
    if golden.samples:
        table = noise_table(noises.get("logistic"))
        draws = {
            at: Draw(table, 0.5)
            for at, module in network.named_modules()
            if isinstance(module, Sign)
        }
        noise = Noise(draws, golden.samples, SEED)
    path = HERE / f"{name}.onnx"
    export_model(network, x, path, task=golden.task, noise=noise)
    session = Session(path)
    feed = x.numpy()
    if golden.pixels:
        feed = np.round((feed * 255 + 255) / 2).astype(np.uint8).transpose(0, 2, 3, 1)
    np.savez(path.with_suffix(".npz"), input=feed, **session.run(feed))


def main() -> None:
    for name in NETWORKS:
        if not (HERE / f"{name}.onnx").exists():
            make(name)


if __name__ == "__main__":
    main()
