"""The networks that both converters are compared on."""

from __future__ import annotations

from .description import AveragePool, Layer, Maker, MaxPool, Network, Relu, Residual


def vgg(*, pool_first: bool = False, tied: bool = False) -> Network:
    """Convolutions and linear layers in the style of `cifar-vgg`, all binary."""
    make = Maker(1)
    norm = make.tied_norm if tied else make.norm

    def stage(inputs: int, outputs: int, pool: bool) -> list[Layer]:
        tail: list[Layer] = [norm(outputs, inputs * 9), *[MaxPool()] * pool]
        return [make.conv(inputs, outputs), *(tail[::-1] if pool_first else tail)]

    return Network(
        (16, 16, 16),
        [
            *stage(16, 40, False),
            *stage(40, 64, True),
            *stage(64, 96, False),
            *stage(96, 128, True),
            make.linear(2048, 130),
            norm(130, 2048),
            make.linear(130, 10),
            make.norm(10, 130),
        ],
    )


def birealnet(*, size: int, stride: int) -> Network:
    """A real first layer with stride 2, then binary convolutions, one with that stride."""
    make = Maker(2)

    def block(width: int) -> Residual:
        return Residual([make.conv(width, width), make.norm(width, width * 9)])

    wider = Residual(
        [make.conv(32, 64, stride=stride), make.norm(64, 32 * 9)],
        [*[AveragePool(2)] * (stride - 1), make.real_conv(32, 64, 1), make.norm(64, 1)],
    )
    return Network(
        (3, size, size),
        [
            make.real_conv(3, 32, 7, stride=2, padding=3),
            make.norm(32, 1),
            MaxPool(),
            block(32),
            block(32),
            wider,
            block(64),
            AveragePool(8 // stride),
            make.real_linear(64, 10),
        ],
    )


def quicknet() -> Network:
    """Shortcuts around convolutions with a rectifier, and an odd number of channels."""
    make = Maker(3)
    blocks = [Residual([make.conv(48, 48), Relu(), make.norm(48, 48 * 9)]) for _ in range(3)]
    return Network((48, 10, 10), [*blocks, Relu(), AveragePool(10), make.real_linear(48, 10)])


def one_conv(
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    size: int = 9,
    border: float = 1.0,
    channels: int = 33,
    tied: bool = False,
) -> Network:
    """A binary convolution between layers that have no border."""
    make = Maker(4)
    norm = make.tied_norm if tied else make.norm
    pixels = ((size - 1) // stride + 1) ** 2
    return Network(
        (20, size, size),
        [
            make.conv(20, 70, 1),
            norm(70, 20),
            make.conv(
                *(70, channels, kernel),
                stride=stride,
                dilation=dilation,
                padding=dilation * (kernel // 2),
                border=border,
            ),
            norm(channels, 70 * kernel**2),
            make.linear(channels * pixels, 64),
            make.norm(64, channels * pixels),
        ],
    )


AGREED = {
    "vgg": vgg(),
    "birealnet": birealnet(size=33, stride=1),
    "quicknet": quicknet(),
    "kernel-1": one_conv(kernel=1),
    "kernel-5": one_conv(kernel=5),
    "stride-2-odd": one_conv(stride=2),
    "dilation-2": one_conv(dilation=2),
    "border-0": one_conv(border=0.0),
    "border-minus-1": one_conv(border=-1.0),
    "pool-first": vgg(pool_first=True),
}
"""What both convert rightly."""

MISPLACED = {
    "stride-2-even": one_conv(stride=2, size=10),
    "stride-2-even-0": one_conv(stride=2, size=10, border=0.0),
    "real-stride-2-even": birealnet(size=32, stride=1),
    "birealnet-stride-2": birealnet(size=33, stride=2),
}
"""Borders that the official converter takes for those of padding SAME, which are elsewhere."""

TIED = {
    "vgg-tied": vgg(tied=True),
    "conv-tied": one_conv(channels=64, tied=True),
}
"""Batch-norms that are exactly 0 for many sums."""
