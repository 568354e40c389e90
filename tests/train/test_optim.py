"""The mirror-descent step is what it claims to minimise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sbn_deploy.nn import models, noise
from sbn_deploy.train.optim import MirrorDescent, split_parameters
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


def test_state_dict_continues_the_same_path() -> None:
    eta, gradient = latents_and_gradient()
    whole = stepped(eta, [gradient, gradient.neg(), gradient.sin()])
    latent = torch.nn.Parameter(eta.clone())
    optimizer = MirrorDescent([latent])
    for g in (gradient, gradient.neg()):
        latent.grad = g
        optimizer.step()
    resumed = torch.nn.Parameter(latent.detach().clone())
    other = MirrorDescent([resumed])
    other.load_state_dict(optimizer.state_dict())
    resumed.grad = gradient.sin()
    other.step()
    assert torch.equal(resumed.detach(), whole)


def test_latents_are_split_from_the_rest() -> None:
    model = models.create("digits-cnn")
    latents, others = split_parameters(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(names[id(parameter)].endswith("latent") for parameter in latents)
    assert all(".norm." in names[id(parameter)] for parameter in others)
    assert len(latents) + len(others) == len(names)
    assert split_parameters(models.create_twin("digits-cnn"))[0] == []


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"betas": (1.0, 0.9)}, {"moments": "bop"}])
def test_bad_arguments_are_errors(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MirrorDescent([torch.nn.Parameter(torch.zeros(1))], **options)  # type: ignore[arg-type]
