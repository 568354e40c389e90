"""Draws the figures of the documents: `python docs/make_figures.py`.

Figures show what the package computes: noises and surrogates are its own, updates are
made by its optimisers, biases are measured by its gradient study, thresholds and packed
words are its converter's, times are those of benchmarks/ and arm-cycles.json. The
same versions of torch and matplotlib give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from sbn_converters.onnx.channelwise import BatchNorm
from sbn_converters.onnx.packing import pack_signs
from sbn_converters.onnx.thresholds import integer_thresholds
from sbn_deploy import estimators as registry
from sbn_deploy.estimators import study
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import BinaryLayer
from sbn_deploy.nn import noise as noises
from sbn_deploy.nn import surrogate as surrogates
from sbn_deploy.nn.estimator import straight_through
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.files import load
from sbn_deploy.train import checkpoint
from sbn_deploy.train.optim import MirrorDescent, ProjectedGradient

DOCUMENTS = Path(__file__).resolve().parent
FOLDER = DOCUMENTS / "figures"
FILES = DOCUMENTS / "benchmarks"
NETWORKS = ("cifar-vgg", "birealnet18", "quicknet-small", "quicknet", "quicknet-large")
TRAINED = Path(__file__).resolve().parents[1] / "models/digits-cnn/checkpoint.safetensors"

# Steps along the gradient itself, without momentum.
mirror = partial(MirrorDescent, moments="sgd", betas=(0.0, 0.0))
projected = partial(ProjectedGradient, moments="sgd", betas=(0.0, 0.0))

Optimizer = MirrorDescent | ProjectedGradient


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A row of axes with a grid."""
    figure = Figure(figsize=(4.4 * count, 3.8), dpi=110, layout="constrained")
    axes = [figure.add_subplot(1, count, index + 1) for index in range(count)]
    for one in axes:
        one.grid(alpha=0.3)
    return figure, axes


def save(figure: Figure, name: str) -> None:
    """Writes the figure; the PNG names no software, so that its bytes say nothing but pixels."""
    path = FOLDER / name
    figure.savefig(path, metadata={"Software": None})
    print(f"{path.relative_to(FOLDER.parent.parent)}: {path.stat().st_size / 1000:.0f} kB")


def draw_noises() -> None:
    """Densities of the noises, their mean maps, and the surrogate gradients of the sign."""
    figure, (density, mean, slope) = panels(3)
    a = torch.linspace(-3, 3, 1201, dtype=torch.float64)
    colors = {name: f"C{number}" for number, name in enumerate(noises.names())}
    for name, color in colors.items():
        noise = noises.get(name)
        density.plot(a, noise.density(a), color=color, label=name)
        mean.plot(a, noise.mean(a), color=color, label=name)
    density.set(title="density p(a)", xlabel="a", ylim=(0, None))
    mean.set(title="mean map m(a) = 2F(a) − 1", xlabel="a")
    for name in surrogates.names():
        surrogate = surrogates.get(name)
        color = "black" if surrogate.noise is None else colors[surrogate.noise]
        style = {"identity": "--", "swish-sign": ":"}.get(name, "-")
        label = f"{name} ({surrogate.noise or 'no noise'})"
        slope.plot(a, surrogate.slope(a), style, color=color, label=label)
    slope.axhline(0, color="grey", linewidth=0.8)
    slope.set(title="surrogate gradient of sign(a), and its noise", xlabel="a", ylim=(-0.8, 8.5))
    for axes in (density, mean, slope):
        axes.legend(fontsize="small")
    save(figure, "noises.png")


def path(
    make: Callable[[list[Tensor]], Optimizer],
    noise: str,
    start: float,
    gradients: Sequence[float],
    *,
    proxy: bool = False,
) -> list[float]:
    """Probabilities theta = F(eta) before and after each step, from theta = `start`."""
    family = noises.get(noise)
    latent = family.quantile(torch.tensor([start], dtype=torch.float64)).requires_grad_()
    optimizer = make([latent])
    found = [family.cdf(latent).item()]
    for gradient in gradients:
        slope = family.slope(latent.detach()) if proxy else 1.0
        latent.grad = torch.full_like(latent, gradient) * slope
        optimizer.step()
        found.append(family.cdf(latent).item())
    return found


def draw_mirror_descent() -> None:
    """What additive updates of the latent do to the probability of a weight."""
    figure, (by_noise, by_form, by_decay) = panels(3)

    there_and_back = [1.0] * 40 + [-1.0] * 40
    for number, noise in enumerate(noises.names()):
        thetas = path(lambda latents: mirror(latents, lr=0.1), noise, 0.9, there_and_back)
        by_noise.plot(thetas, color=f"C{number}", label=noise)
    thetas = path(lambda latents: projected(latents, lr=0.1), "uniform", 0.9, there_and_back)
    by_noise.plot(thetas, "--", color="C1", label="uniform, clipped")
    by_noise.axvline(40, color="grey", linewidth=0.8)
    by_noise.set(title="η ← η − 0.1 g,  g = 1, then −1")

    for number, start in enumerate((0.999, 0.9, 0.5)):
        for proxy in (False, True):
            thetas = path(
                lambda latents: mirror(latents, lr=0.1),
                "logistic",
                start,
                [1.0] * 80,
                proxy=proxy,
            )
            label = f"{'proxy' if proxy else 'identity'}, from {start}"
            by_form.plot(thetas, "--" if proxy else "-", color=f"C{number}", label=label)
    by_form.set(title="identity and proxy form, logistic, g = 1")

    step, decay = 2.0, 0.8
    exact = path(
        lambda latents: mirror(latents, lr=step, decay=decay),
        "logistic",
        0.999,
        [0.5] * 12,
    )
    by_decay.plot(exact, "o-", label="exact: (η − εg) / (1 + ελ)")
    logistic = noises.get("logistic")
    latent = logistic.quantile(torch.tensor(0.999, dtype=torch.float64))
    naive = [0.999]
    for _ in range(12):
        latent = (1 - step * decay) * latent - step * 0.5
        naive.append(logistic.cdf(latent).item())
    by_decay.plot(naive, "s--", label="first order: (1 − ελ)η − εg")
    minimum = logistic.cdf(torch.tensor(-0.5 / decay, dtype=torch.float64)).item()
    by_decay.axhline(minimum, color="grey", linewidth=0.8, label="minimum of gμ + λKL")
    by_decay.set(title="latent decay, logistic, ε = 2, λ = 0.8, g = 0.5")

    for axes in (by_noise, by_form, by_decay):
        axes.set(xlabel="steps", ylabel="θ = F(η)", ylim=(-0.03, 1.45))
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.legend(fontsize="small", loc="upper center", ncols=1 if axes is by_decay else 2)
    save(figure, "mirror-descent.png")


def draw_depth() -> None:
    """The bias of estimators by depth, as `sbn estimators --by depth` measures it."""
    figure, (by_depth, by_layer) = panels(2)
    shown = (
        "st",
        "st-hardtanh",
        "st-identity",
        "det-st",
        "gumbel",
        "gumbel-st",
        "psa",
        "reinforce",
    )
    estimators = registry.create(shown)
    budget = study.Budget(networks=20)  # the default of `sbn estimators`
    results = [
        (depth, study.run(setting, estimators, budget))
        for depth, setting in study.sweep("depth", study.Setting())
    ]
    deepest = results[-1][1]
    layers = [layer for layer in deepest.layers if layer != study.HIDDEN]
    for name in shown:
        biases = [result.score(name, "1").bias for _, result in results]
        by_depth.plot([depth for depth, _ in results], biases, "o-", label=name)
        biases = [deepest.score(name, layer).bias for layer in layers]
        by_layer.plot(layers, biases, "o-", label=name)
    by_depth.set(title="bias in the first layer", xlabel="hidden layers")
    by_layer.set(title="bias by layer, four hidden layers", xlabel="layer")
    for axes in (by_depth, by_layer):
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_ylim(-0.01, 10)
        axes.axhline(1, color="grey", linewidth=0.8)
        axes.set_ylabel("|E[g] − g*| / |g*|")
    by_layer.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "bias-by-depth.png")


def draw_straight_through() -> None:
    """What the estimator puts in place of a flip, and when its mean is the gradient."""
    figure, (flip, unbiased, biased) = panels(3)

    def loss(x: Tensor, curvature: float) -> Tensor:
        return 0.6 * x + curvature * (x**2 - 1)

    x = torch.linspace(-1.25, 1.25, 201, dtype=torch.float64)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    flip.plot(x, loss(x, 0.5), color="C0", label="f between the values of x")
    flip.plot(ends, loss(ends, 0.5), "o-", color="C2", label="what a flip changes")
    for end, slope in ((-1.0, 0.6 - 1.0), (1.0, 0.6 + 1.0)):
        near = torch.tensor([end - 0.3, end + 0.3], dtype=torch.float64)
        line = loss(torch.tensor(end), 0.5) + slope * (near - end)
        flip.plot(near, line, "--", color="C3", label="slope there" if end > 0 else None)
    flip.set(title="f(+1) − f(−1) and 2f'(x)", xlabel="x")

    noise = noises.get("logistic")
    grid = torch.linspace(-2.5, 2.5, 21, dtype=torch.float64)
    for axes, curvature, name in (
        (unbiased, 0.0, "f linear: exact, no variance"),
        (biased, 0.5, "f curved: biased by 2D m m'"),
    ):
        a = grid.expand(4000, -1).clone().requires_grad_()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            outcome = loss(straight_through(a, noise, "sampled"), curvature).sum()
        (gradient,) = torch.autograd.grad(outcome, a)
        low, high = gradient.quantile(0.1, dim=0), gradient.quantile(0.9, dim=0)
        axes.fill_between(grid, low, high, color="C3", alpha=0.15, label="80 % of the estimates")
        axes.plot(grid, gradient.mean(0), "o", color="C3", label="their mean")
        axes.plot(grid, 2 * noise.density(grid) * 0.6, color="C2", label="true gradient")
        axes.set(title=name, xlabel="a", ylabel="dE[f] / da")
    for axes in (flip, unbiased, biased):
        axes.legend(fontsize="small")
    save(figure, "straight-through.png")


def weights_of(model: nn.Module) -> Tensor:
    """The fixed weights of the second layer of the trained network."""
    weights = model.get_submodule("stage2.conv").weight
    assert isinstance(weights, Tensor)
    return weights


def draw_forms() -> None:
    """The first weights of a trained network: probabilities, and what is made of them."""
    model, _ = checkpoint.load(TRAINED)
    kernels = model.get_submodule("stage2.conv")
    assert isinstance(kernels, BinaryLayer)
    means = kernels.noise.mean(kernels.latent.detach())
    thresholded = materialize(model)
    members = materialize(model, weights="sample", members=3, seed=0)
    mode = weights_of(thresholded[0])
    shown = [("μ = 2θ − 1, trained", means), ("thresholded", mode)]
    for number, member in enumerate(members):
        drawn = weights_of(member)
        # Pale where it is the more probable sign.
        shown.append((f"member {number}", torch.where(drawn == mode, 0.3 * drawn, drawn)))
    # An undecided part of the layer: most weights elsewhere are the same in each form.
    order = means.abs().flatten(1).mean(1).argsort()[:24]
    figure = Figure(figsize=(13.2, 3.4), dpi=110, layout="constrained")
    image = None
    for index, (name, weights) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), index + 1)
        pixels = weights[order, :24, 1, 1].numpy()
        image = axes.imshow(pixels, vmin=-1, vmax=1, cmap="RdBu")
        axes.set(title=name, xticks=[], yticks=[])
    assert image is not None
    figure.colorbar(image, ax=figure.axes, shrink=0.8)
    save(figure, "forms.png")


def draw_thresholds() -> None:
    """Batch-norm and sign of an accumulator, as one comparison of whole numbers."""
    figure, (rising, falling, trained) = panels(3)
    products = 16
    sums = np.arange(-products, products + 1, 2)
    for axes, scale in ((rising, 0.8), (falling, -0.8)):
        weight, bias, mean, variance = np.array([[scale], [-0.9], [1.7], [20.0]], np.float32)
        norm = BatchNorm.from_statistics(weight, bias, mean, variance, 1e-5)
        found = integer_thresholds([norm], products, 1)
        values = norm.apply(sums.astype(np.float32)[:, None])[:, 0]
        line = np.linspace(-products, products, 2, dtype=np.float32)
        axes.plot(line, norm.apply(line[:, None])[:, 0], color="grey", linewidth=0.8)
        plus = ~(values < 0)
        axes.plot(sums[plus], values[plus], "o", color="C0", label="sign +1")
        axes.plot(sums[~plus], values[~plus], "o", color="C3", label="sign −1")
        threshold = int(found.threshold[0])
        turned = bool(found.negate[0])
        rule = f"−s ≥ {threshold}" if turned else f"s ≥ {threshold}"
        edge = 0.5 - threshold if turned else threshold - 0.5
        axes.axvline(edge, color="black", linestyle="--", label=f"+1 where {rule}")
        axes.axhline(0, color="grey", linewidth=0.8)
        sign = "positive" if scale > 0 else "negative"
        axes.set(title=f"batch-norm of {sign} scale", xlabel="accumulator s", ylabel="batch-norm")
        axes.legend(fontsize="small")

    model, _ = checkpoint.load(TRAINED)
    for number, name in enumerate(("stage3", "stage4", "stage5")):
        layer = model.get_submodule(name)
        binary, norm_layer = next(layer.children()), layer.get_submodule("norm")
        assert isinstance(binary, BinaryLayer)
        assert isinstance(norm_layer, nn.BatchNorm1d | nn.BatchNorm2d)
        weight, bias, mean, variance = (
            getattr(norm_layer, part).detach().numpy()
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        norm = BatchNorm.from_statistics(weight, bias, mean, variance, norm_layer.eps)
        terms = binary.latent[0].numel()
        found = integer_thresholds([norm], terms, len(norm.alpha))
        trained.hist(
            found.threshold,
            bins=50,
            range=(-75, 225),
            alpha=0.5,
            color=f"C{number}",
            label=f"{name}, sums of {terms:,} signs",
        )
    trained.set(title="thresholds of models/digits-cnn", xlabel="threshold", ylabel="channels")
    trained.legend(fontsize="small")
    save(figure, "thresholds.png")


def draw_packing() -> None:
    """A dot product of signs as exclusive or and count of bits."""
    generator = np.random.default_rng(3)
    signs = [np.where(generator.random(16) < 0.5, -1, 1).astype(np.float32) for _ in range(2)]
    bits = [
        [int(word) >> channel & 1 for channel in range(16)]
        for word in (int(pack_signs(row[np.newaxis])[0, 0]) for row in signs)
    ]
    differing = [one ^ other for one, other in zip(*bits, strict=True)]
    dot = int(np.dot(*signs))
    assert dot == 16 - 2 * sum(differing)
    rows = [
        ("x", [f"{value:+.0f}".replace("-", "−") for value in signs[0]], bits[0]),
        ("w", [f"{value:+.0f}".replace("-", "−") for value in signs[1]], bits[1]),
        ("bits of x", list(map(str, bits[0])), bits[0]),
        ("bits of w", list(map(str, bits[1])), bits[1]),
        ("x xor w", list(map(str, differing)), differing),
    ]
    figure = Figure(figsize=(9.2, 3.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for row, (name, texts, filled) in enumerate(rows):
        axes.text(-0.8, -row, name, ha="right", va="center")
        for channel, (text, is_set) in enumerate(zip(texts, filled, strict=True)):
            color = ("#e8a39a" if row == 4 else "#f3cfc9") if is_set else "#dbe9f6"
            axes.text(
                channel,
                -row,
                text,
                ha="center",
                va="center",
                family="monospace",
                bbox={"boxstyle": "square,pad=0.35", "facecolor": color, "edgecolor": "white"},
            )
    axes.text(
        7.5,
        -5.3,
        f"popcount = {sum(differing)}        x · w = 16 − 2 · {sum(differing)} = {dot}".replace(
            "= -", "= −"
        ),
        ha="center",
        va="center",
    )
    axes.set(xlim=(-3.2, 15.8), ylim=(-5.8, 0.6))
    axes.axis("off")
    save(figure, "packing.png")


def draw_benchmarks() -> None:
    """Latency and file size of whole networks, from the benchmarks."""
    names = [path.name.removesuffix(".baselines.json") for path in FILES.glob("*.baselines.json")]
    records = [load(FILES / f"{name}.baselines.json") for name in NETWORKS if name in names]
    networks = [record for record in records if isinstance(record, Benchmark)]
    engines = {
        "sbn": ("sbn-deploy", "#c44e52"),
        "onnxruntime-int8": ("onnxruntime int8", "#8da0b6"),
        "lce": ("Larq Compute Engine", "#dd9f5b"),
        "onnxruntime-fp32": ("onnxruntime fp32", "#bcc3ca"),
    }
    figure = Figure(figsize=(10.4, 4.4), dpi=110, layout="constrained")
    latency, size = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(networks))
    for number, (engine, (label, color)) in enumerate(engines.items()):
        found = [
            next(
                timing
                for timing in record.results
                if timing.engine == engine and timing.model == record.models[0].name
            )
            for record in networks
        ]
        times = [timing.p50_ms for timing in found]
        megabytes = [(timing.file_bytes or 0) / 1e6 for timing in found]
        for axes, lengths in ((latency, times), (size, megabytes)):
            bars = axes.barh(rows + 0.2 * number, lengths, 0.19, color=color, label=label)
            axes.bar_label(bars, [f"{length:.1f}" for length in lengths], padding=2, fontsize=7.5)
    latency.set_yticks(rows + 0.3, [record.models[0].name for record in networks])
    latency.invert_yaxis()
    latency.set(
        title=f"one image, one x86 core, {networks[0].machine.isa} kernels", xlabel="median ms"
    )
    size.set(title="file", xlabel="MB")
    latency.legend(frameon=False, fontsize="small")
    for axes in (latency, size):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.08)
    save(figure, "benchmarks.png")


def main() -> None:
    """Draws all figures."""
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    draw_noises()
    draw_mirror_descent()
    draw_depth()
    draw_straight_through()
    draw_forms()
    draw_thresholds()
    draw_packing()
    draw_benchmarks()


if __name__ == "__main__":
    main()
