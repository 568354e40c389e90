"""Draws every figure of docs/training.md: `python docs/make_figures.py`.

Figures show what the package computes: noises and surrogates are its own, updates are
made by its optimisers, biases are measured by its gradient study. The same versions of
torch and matplotlib give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from sbn_deploy import estimators as registry
from sbn_deploy.estimators import study
from sbn_deploy.nn import noise as noises
from sbn_deploy.nn import surrogate as surrogates
from sbn_deploy.train.optim import MirrorDescent, ProjectedGradient

FOLDER = Path(__file__).resolve().parent / "figures"

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


def main() -> None:
    """Draws all figures."""
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    draw_noises()
    draw_mirror_descent()
    draw_depth()


if __name__ == "__main__":
    main()
