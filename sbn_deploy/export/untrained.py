"""Architectures with random weights, exported so that speed can be known before training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sbn_deploy.export import Noise, check_target, export_members
from sbn_deploy.materialize import Form, materialize, stochastic_signs
from sbn_deploy.nn import models
from sbn_runtime.preprocess import Preprocess, Standardize

if TYPE_CHECKING:
    from sbn_deploy.export import ExportReport

CALIBRATION_INPUTS = 4


def export_untrained(
    arch: str,
    output: Path,
    form: Form = Form(),  # noqa: B008 (frozen)
    **config: object,
) -> ExportReport:
    """Exports an architecture of the registry with random weights.

    The suffix of `output` says as what, see `export_checkpoint`.
    Batch-norms have the statistics of random inputs, so that each layer's
    activations are about as spread as in a trained network. The metadata has
    `untrained` true and says the rest as for a trained network.

    Args:
        arch: name in the registry.
        form: which networks the file holds. Its seed is that of all weights and inputs, too.
        config: settings of the architecture, where not the defaults.

    Raises:
        ConfigError: unknown architecture or settings, or no such file can be.
        ModelError: the file cannot be written.
    """
    check_target(output, stochastic=form.stochastic)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(form.seed)
        network = models.create(arch, **config)
        _randomise_batchnorm(network)
        inputs = random_inputs(network.config)
    made = materialize(
        network, weights=form.weights, members=form.members, seed=form.seed, calibration=inputs
    )
    metadata: dict[str, object] = {
        "arch": arch,
        "config": network.config,
        "data": None,
        "weights": form.weights,
        "seed": form.seed,
        "preprocess": preprocess_of(network.config).to_json(),
        "classes": [str(index) for index in range(network.config["classes"])],
        "test_accuracy": None,
        "untrained": True,
    }
    noise = None
    if form.stochastic:
        noise = Noise(stochastic_signs(network), form.samples, form.noise_seed)
    return export_members(made, inputs[:2], output, metadata=metadata, noise=noise)


def preprocess_of(config: Mapping[str, Any]) -> Preprocess | Standardize:
    """What makes the inputs that a network's config states.

    8-bit images become (2 pixel - 255) / 255, signals stay as they are.
    """
    channels, *sizes = shape = models.input_shape(config)
    if len(sizes) == 1:
        return Standardize(shape, mean=(0.0,) * channels, std=(1.0,) * channels)
    height, width = sizes
    half = (0.5,) * channels
    return Preprocess(channels, height, width, pixel_max=255, mean=half, std=half)


def random_inputs(config: Mapping[str, Any]) -> Tensor:
    """Noise as a network takes it: float32 [CALIBRATION_INPUTS, C, H, W] or [..., C, L].

    Images are uniform noise in 8 bits, signals normally distributed.
    """
    preprocess = preprocess_of(config)
    if isinstance(preprocess, Standardize):
        return torch.randn(CALIBRATION_INPUTS, *preprocess.shape)
    shape = CALIBRATION_INPUTS, preprocess.height, preprocess.width, preprocess.channels
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    return torch.from_numpy(preprocess.apply(pixels.numpy()))


def _randomise_batchnorm(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
