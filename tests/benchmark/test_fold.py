"""The baselines' networks compute the same after folding, with fewer layers."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, fx, nn

from sbn_deploy.benchmark.fold import fold_batchnorm
from sbn_deploy.nn import models

SMALL = {
    "birealnet18": {"size": 32, "width": 4, "classes": 5},
    "cifar-vgg": {"size": 8, "width": 4},
    "digits-cnn": {"width": 4},
    "quicknet": {"size": 32, "widths": (4, 8), "blocks": (2, 1), "classes": 5},
}


def randomise(network: nn.Module, *, rising: bool = True) -> nn.Module:
    """Batch-norms as after training."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5 if rising else -1.5, 1.5)
                nn.init.normal_(module.bias)
    return network.eval()


def kinds(traced: fx.GraphModule) -> list[type[nn.Module]]:
    nodes = [node for node in traced.graph.nodes if node.op == "call_module"]
    return [type(traced.get_submodule(node.target)) for node in nodes]


@pytest.mark.parametrize("arch", SMALL)
@torch.no_grad()
def test_twins_lose_all_batchnorms_and_nothing_else(arch: str) -> None:
    twin = randomise(models.create_twin(arch, **SMALL[arch]))
    config = twin.config
    x = torch.randn(3, config["channels"], config["size"], config["size"])
    before = twin(x)
    folded = fold_batchnorm(twin)
    torch.testing.assert_close(folded(x), before)
    assert torch.equal(twin(x), before), "the network itself stays as it was"
    assert not {nn.BatchNorm1d, nn.BatchNorm2d} & set(kinds(folded))


@torch.no_grad()
def test_rectifiers_come_before_pools() -> None:
    folded = fold_batchnorm(randomise(models.create_twin("cifar-vgg", size=8, width=4)))
    order = kinds(folded)
    for index, kind in enumerate(order):
        if kind is nn.MaxPool2d:
            assert order[index - 2 : index] == [nn.Conv2d, nn.ReLU]


@torch.no_grad()
def test_a_falling_batchnorm_stays_behind_its_pool() -> None:
    network = nn.Sequential(nn.Conv2d(2, 8, 3), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU())
    randomise(network, rising=False)
    assert (network[2].weight < 0).any()
    x = torch.randn(2, 2, 6, 6)
    folded = fold_batchnorm(network)
    torch.testing.assert_close(folded(x), network(x))
    assert Counter(kinds(folded))[nn.BatchNorm2d] == 1


@torch.no_grad()
def test_a_batchnorm_of_a_value_that_others_read_stays() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 1)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x)
            result: Tensor = self.norm(y) + y
            return result

    network = randomise(Branch())
    x = torch.randn(2, 2, 3, 3)
    folded = fold_batchnorm(network)
    torch.testing.assert_close(folded(x), network(x))
    assert nn.BatchNorm2d in kinds(folded)
