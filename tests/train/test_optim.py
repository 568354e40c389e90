"""The mirror-descent step is what it claims to minimise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sbn_deploy.nn import models, noise
from sbn_deploy.train.optim import Bop, MirrorDescent, ProjectedGradient, split_parameters
from sbn_runtime.errors import ConfigError

STEP = 0.3


def latents_and_gradient() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    eta = torch.randn(7, generator=generator, dtype=torch.float64)
    return eta, torch.randn(7, generator=generator, dtype=torch.float64)


def stepped(eta: Tensor, gradients: list[Tensor], **options: object) -> Tensor:
    latent = torch.nn.Parameter(eta.clone())
    optimizer = MirrorDescent([latent], **options)  # type: ignore[arg-type]
    for gradient in gradients:
        latent.grad = gradient.clone()
        optimizer.step()
    return latent.detach()


def test_plain_step_is_the_kl_proximal_step() -> None:
    eta, gradient = latents_and_gradient()
    cdf = noise.get("logistic").cdf
    before = cdf(eta)
    after = cdf(stepped(eta, [gradient], lr=STEP, moments="sgd", betas=(0.0, 0.0)))

    theta = after.clone().requires_grad_()
    divergence = theta * (theta / before).log() + (1 - theta) * ((1 - theta) / (1 - before)).log()
    objective = (gradient * (2 * theta - 1) + divergence / STEP).sum()
    (stationarity,) = torch.autograd.grad(objective, theta)
    assert float(stationarity.abs().max()) < 1e-12


def test_plain_step_is_exponentiated_gradient() -> None:
    eta, gradient = latents_and_gradient()
    cdf = noise.get("logistic").cdf
    after = cdf(stepped(eta, [gradient], lr=STEP, moments="sgd", betas=(0.0, 0.0)))
    up = cdf(eta) * torch.exp(-STEP * gradient)
    down = (1 - cdf(eta)) * torch.exp(STEP * gradient)
    torch.testing.assert_close(after, up / (up + down), rtol=0, atol=1e-12)


def test_moments_are_those_of_torch() -> None:
    eta, gradient = latents_and_gradient()
    gradients = [gradient * factor for factor in (1.0, -0.2, 3.0, 0.5)]
    for options, reference in [
        ({"moments": "adam"}, lambda p: torch.optim.Adam(p, lr=STEP)),
        ({"moments": "sgd"}, lambda p: torch.optim.SGD(p, lr=STEP, momentum=0.9)),
    ]:
        parameter = torch.nn.Parameter(eta.clone())
        optimizer = reference([parameter])
        for g in gradients:
            parameter.grad = g.clone()
            optimizer.step()
        ours = stepped(eta, gradients, lr=STEP, **options)
        torch.testing.assert_close(ours, parameter.detach(), rtol=0, atol=1e-12)


EVERY = [
    (MirrorDescent, {}),
    (MirrorDescent, {"moments": "sgd", "decay": 0.1, "prior": 0.5}),
    (ProjectedGradient, {}),
    (ProjectedGradient, {"moments": "sgd", "bound": 0.3}),
    (Bop, {"lr": 0.5, "threshold": 0.1}),
]
each_optimizer = pytest.mark.parametrize(("make", "options"), EVERY)
Make = Callable[..., torch.optim.Optimizer]


def test_decay_is_composite_mirror_descent() -> None:
    """The step minimises <g, 2 theta - 1> + KL(theta, theta_t) / step + decay KL(theta, prior)."""
    eta, gradient = latents_and_gradient()
    cdf = noise.get("logistic").cdf
    decay, prior = 0.7, 0.4
    before, origin = cdf(eta), cdf(torch.tensor(prior, dtype=torch.float64))
    options = {"moments": "sgd", "betas": (0.0, 0.0), "decay": decay, "prior": prior}
    after = cdf(stepped(eta, [gradient], lr=STEP, **options))

    def divergence(theta: Tensor, other: Tensor) -> Tensor:
        return theta * (theta / other).log() + (1 - theta) * ((1 - theta) / (1 - other)).log()

    theta = after.clone().requires_grad_()
    # The natural parameter of +1 against -1 is twice the latent.
    objective = (
        gradient * (2 * theta - 1)
        + divergence(theta, before) / STEP
        + decay * divergence(theta, origin)
    ).sum()
    (stationarity,) = torch.autograd.grad(objective, theta)
    assert float(stationarity.abs().max()) < 1e-12
    naive = cdf((1 - STEP * decay) * eta - STEP * gradient + STEP * decay * prior)
    assert float((naive - after).abs().max()) > 1e-3


def test_projected_gradient_stays_in_its_bounds() -> None:
    eta, gradient = latents_and_gradient()
    latent = torch.nn.Parameter(eta.clone())
    optimizer = ProjectedGradient([latent], lr=STEP, moments="sgd", betas=(0.0, 0.0), bound=0.6)
    latent.grad = gradient.clone()
    optimizer.step()
    expected = (eta - STEP * gradient).clamp(-0.6, 0.6)
    torch.testing.assert_close(latent.detach(), expected, rtol=0, atol=1e-15)
    assert float(latent.detach().abs().max()) == 0.6


def test_bop_flips_what_it_should() -> None:
    latent = torch.nn.Parameter(torch.tensor([0.3, -2.0, 1.0, -1.0, 1.0]))
    optimizer = Bop([latent], lr=0.5, threshold=0.2)
    latent.grad = torch.tensor([1.0, -1.0, -1.0, 1.0, 0.3])
    optimizer.step()
    # The mean is half the gradient: a positive one wants smaller weights.
    assert latent.tolist() == [-1, 1, 1, -1, 1]
    latent.grad = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.3])
    optimizer.step()
    assert latent.tolist() == [-1, 1, 1, -1, -1]


@each_optimizer
def test_state_dict_continues_the_same_path(make: Make, options: dict[str, object]) -> None:
    eta, gradient = latents_and_gradient()
    gradients = [gradient, gradient.neg(), gradient.sin()]

    def run(latent: torch.nn.Parameter, optimizer: torch.optim.Optimizer, part: slice) -> None:
        for g in gradients[part]:
            latent.grad = g.clone()
            optimizer.step()

    whole = torch.nn.Parameter(eta.clone())
    run(whole, make([whole], **options), slice(3))
    latent = torch.nn.Parameter(eta.clone())
    optimizer = make([latent], **options)
    run(latent, optimizer, slice(2))
    resumed = torch.nn.Parameter(latent.detach().clone())
    other = make([resumed], **options)
    other.load_state_dict(optimizer.state_dict())
    run(resumed, other, slice(2, 3))
    assert torch.equal(resumed.detach(), whole.detach())


@each_optimizer
def test_groups_schedulers_and_closures(make: Make, options: dict[str, object]) -> None:
    first, second = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = make([{"params": [first], "lr": 0.25}], **options)
    optimizer.add_param_group({"params": [second]})
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def closure() -> float:
        first.grad = second.grad = torch.full((3,), 0.5)
        return 7.0

    assert optimizer.step(closure) == 7.0
    scheduler.step()
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == [0.125, optimizer.defaults["lr"] / 2]
    assert not torch.equal(first.detach(), torch.ones(3))


def test_latents_are_split_from_the_rest() -> None:
    model = models.create("digits-cnn")
    latents, others = split_parameters(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(names[id(parameter)].endswith("latent") for parameter in latents)
    assert all(".norm." in names[id(parameter)] for parameter in others)
    assert len(latents) + len(others) == len(names)
    assert split_parameters(models.create_twin("digits-cnn"))[0] == []


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (MirrorDescent, {"lr": 0.0}),
        (MirrorDescent, {"lr": float("nan")}),
        (MirrorDescent, {"betas": (1.0, 0.9)}),
        (MirrorDescent, {"moments": "bop"}),
        (MirrorDescent, {"eps": 0.0}),
        (MirrorDescent, {"decay": -1.0}),
        (ProjectedGradient, {"bound": 0.0}),
        (Bop, {"lr": 2.0}),
        (Bop, {"threshold": -1.0}),
    ],
)
def test_bad_arguments_are_errors(make: Make, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        make([torch.nn.Parameter(torch.zeros(1))], **options)
    with pytest.raises(ConfigError):
        make([{"params": [torch.nn.Parameter(torch.zeros(1))], **options}])
