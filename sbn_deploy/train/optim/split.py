"""Which parameters of a model are latents."""

from __future__ import annotations

from torch import nn

from sbn_deploy.nn import BinaryLayer


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(latents, all other parameters), each in the order of the model."""
    latents = [module.latent for module in model.modules() if isinstance(module, BinaryLayer)]
    known = {id(latent) for latent in latents}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return latents, others
