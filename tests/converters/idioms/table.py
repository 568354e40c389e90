"""Idioms, each as the code that is tested and shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Idiom:
    """A piece of code and what becomes of the layer that it concerns.

    why: part of the reason for which the layer stays float; empty where it is packed.
    layers: how many packed layers it becomes.
    remark: for readers.
    tie: whether it is 0 for a float of exactly 0, which is taken as +1.
    """

    code: str
    why: str = ""
    layers: int = 1
    remark: str = ""
    tie: bool = False


# Of a float x: what a binary convolution reads.
ACTIVATIONS = [
    Idiom("torch.where(x < 0, -1.0, 1.0)"),
    Idiom("torch.where(x >= 0, 1.0, -1.0)"),
    Idiom("torch.where(x > 0, 1.0, -1.0)", remark="0 gives -1"),
    Idiom("torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))"),
    Idiom("(x >= 0).float() * 2 - 1"),
    Idiom("2 * (x > 0).to(x.dtype) - 1", remark="0 gives -1"),
    Idiom("torch.sign(x)", remark="0 at exactly 0.0 is taken as +1, and said", tie=True),
    Idiom("x.sign().masked_fill(x == 0, 1.0)"),
    Idiom("torch.where(torch.sign(x) == 0, 1.0, torch.sign(x))"),
    Idiom("torch.sign(torch.sign(x) + 0.1)"),
    Idiom("torch.sign(x).add(0.1).sign()"),
    Idiom("SignFunction.apply(x)", remark="a torch.autograd.Function"),
    Idiom("fill_zeros(torch.sign(x))", remark="`s[s == 0] = 1` in place"),
    Idiom("(torch.sign(x) - x.clamp(-1, 1)).detach() + x.clamp(-1, 1)", tie=True),
    Idiom("torch.sign(x).detach() - torch.tanh(x).detach() + torch.tanh(x)", tie=True),
    Idiom(
        "bi_real(x)",
        remark="sign with the polynomial straight-through term of Bi-Real Net",
        tie=True,
    ),
    Idiom("torch.where(F.hardtanh(x) < 0, -1.0, 1.0)"),
    Idiom("torch.sign(torch.tanh(3 * x))", tie=True),
    Idiom("torch.sign(x - x.mean((1, 2, 3), keepdim=True))", tie=True),
    Idiom("0.7 * torch.sign(x)", tie=True),
    Idiom("torch.sign(x) / 3", tie=True),
    Idiom(
        "x.abs().mean((1, 2, 3), keepdim=True) * torch.sign(x)",
        remark="one factor an image",
        tie=True,
    ),
    Idiom("0.7 * (torch.sign((x - 0.1) / 0.7) + 0.25)", remark="AdaBin", tie=True),
    Idiom("(x > 0).float()", remark="{0, 1}"),
    Idiom("torch.sign(F.relu(x))", remark="{0, 1}"),
    Idiom("torch.round(x.clamp(0, 1))", remark="DoReFa"),
    Idiom("torch.where(torch.tensor(0.5) > x, -1.0, 1.0)"),
    Idiom(
        "torch.where(x > 0.5, 1.0, torch.where(x < -0.5, -1.0, 0.0))",
        layers=2,
        remark="ternary",
    ),
    Idiom("torch.sign(x) * (x.abs() > 0.5)", layers=2, remark="ternary"),
    Idiom("((x > -0.5) & (x < 0.5)).float()", layers=2, remark="a band of x"),
    Idiom("torch.round(x / 0.5).clamp(0, 1) * 0.5", remark="{0, c}"),
    Idiom("torch.heaviside(x, torch.ones(()))"),
    Idiom(
        "torch.sign(x) + 0.5 * torch.sign(x - 0.3)",
        layers=2,
        remark="two signs: two layers",
        tie=True,
    ),
    Idiom("torch.sign(x) * torch.where(x > 0.5, 1.0, -1.0)", remark="a product of signs", tie=True),
    Idiom("-torch.sign(x)", tie=True),
    Idiom(
        "torch.sign(x) * a", why="scaled for each channel", remark="a of shape [C, 1, 1]", tie=True
    ),
    Idiom("torch.round(x.clamp(0, 3))", why="not made of signs", remark="2 bits"),
    Idiom("F.relu(x)", why="not made of signs"),
]

# Of latent weights w [O, I, 3, 3]: what a convolution of signs uses.
WEIGHTS = [
    Idiom("torch.where(w < 0, -1.0, 1.0)"),
    Idiom("torch.sign(w)"),
    Idiom("SignFunction.apply(w)"),
    Idiom("torch.sign(w) * w.abs().mean((1, 2, 3), keepdim=True)", remark="XNOR-Net"),
    Idiom("torch.sign(w) * w.abs().mean()"),
    Idiom("(torch.sign(w) - w.clamp(-1, 1)).detach() + w.clamp(-1, 1)"),
    Idiom("torch.sign((w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True))"),
    Idiom(
        "torch.sign(w) * w.std((1, 2, 3), keepdim=True) + w.mean((1, 2, 3), keepdim=True)",
        layers=2,
        remark="AdaBin; the second layer has one filter",
    ),
    Idiom("torch.sign(w - 0.02) * 0.5 ** torch.round(torch.log2(1 / w.abs().mean()))"),
    Idiom("torch.tanh(1e6 * w).sign()"),
    Idiom("torch.sign(torch.sin(90 * w))"),
    Idiom("(w > 0).float()", layers=2, remark="{0, 1}; the second layer has one filter"),
    Idiom("torch.sign(w) * (w.abs() > 0.05)", layers=2, remark="zeros: two layers, exactly"),
    Idiom(
        "torch.from_numpy(np.where(w.numpy() < np.median(w.numpy()), -1, 1)).float()",
        remark="numpy in forward",
    ),
    Idiom("w", why="more than two values in a filter"),
    Idiom("torch.sign(w) * w.abs().mean((0, 2, 3), keepdim=True)", why="each input channel"),
]

# Between a binary layer and the sign before the next.
BETWEEN = [
    Idiom("norm(C)"),
    Idiom("scale(C, 1, 1), norm(C)"),
    Idiom("norm(C), nn.Hardtanh()"),
    Idiom("norm(C), nn.PReLU(C)"),
    Idiom("norm(C), nn.LeakyReLU()"),
    Idiom("norm(C), nn.ReLU(), norm(C)"),
    Idiom("norm(C), nn.Tanh()"),
    Idiom("norm(C), nn.Hardswish()"),
    Idiom("norm(C), nn.ELU()"),
    Idiom("nn.MaxPool2d(2), norm(C)"),
    Idiom("norm(C), nn.ReLU(), nn.MaxPool2d(2)"),
    Idiom("nn.AvgPool2d(2), norm(C)"),
    Idiom("nn.MaxPool2d(3, 2, ceil_mode=True), norm(C)"),
    Idiom("norm(C), nn.Dropout()"),
    Idiom("plus(0.5), norm(C)"),
]

# On signs s: what stands between them and a binary layer, or the layer itself.
LAYERS = [
    Idiom("F.conv2d(s, b, padding=1)"),
    Idiom("F.conv2d(s, b, bias, padding=1)"),
    Idiom("F.conv2d(s, b, stride=2, dilation=2, padding=2)"),
    Idiom("F.conv2d(s, b[:, :12], padding=1, groups=2)"),
    Idiom("F.conv2d(s, b[:, :1], padding=1, groups=C)", remark="depthwise"),
    Idiom("F.conv2d(F.pad(s, (1, 1, 1, 1), value=1.0), b)"),
    Idiom("F.conv2d(F.pad(s, (1, 1, 1, 1), mode='replicate'), b)"),
    Idiom("F.conv2d(F.pad(s, (1, 1, 1, 1), mode='circular'), b)"),
    Idiom("F.conv2d(F.max_pool2d(s, 2), b, padding=1)"),
    Idiom("F.conv2d(F.dropout(s, training=False), b, padding=1)"),
    Idiom("F.conv2d(F.channel_shuffle(s, 2), b, padding=1)"),
    Idiom("F.conv2d(torch.cat([s[:, :5], s[:, 5:]], 1), b, padding=1)"),
    Idiom("F.conv2d(s[:, ::2], b[:, :12], padding=1)"),
    Idiom("F.conv2d(s.flip(3), b, padding=1)"),
    Idiom("F.conv1d(s.flatten(2), b[:, :, 0], padding=1)", remark="[N, C, L]"),
    Idiom("F.linear(s.flatten(1), dense)"),
    Idiom("F.linear(s.flatten(2).transpose(1, 2), b[:, :, 0, 0])", remark="[N, T, C]"),
    Idiom("s.flatten(1) @ dense.t()"),
    Idiom("F.conv_transpose2d(s, b, stride=2)", why="transposed convolution"),
    Idiom("F.conv3d(s[:, None], b[:, None, :3])", why="3-dimensional"),
    Idiom("s.flatten(2) @ s.flatten(2).transpose(1, 2)", why="product of two activations"),
]
