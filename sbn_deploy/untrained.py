"""Architectures with random weights, exported so that speed can be known before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sbn_deploy.data.dataset import of_pixels
from sbn_deploy.export import check_target
from sbn_deploy.export.network import export_built
from sbn_deploy.materialize import Form
from sbn_deploy.networks import example
from sbn_deploy.networks.reference import Built
from sbn_deploy.nn import EightBit, models
from sbn_runtime.preprocess import Preprocess, Standardize

if TYPE_CHECKING:
    from sbn_deploy.export import ExportReport

BATCHNORM_INPUTS = 4


def export_untrained(
    arch: str,
    output: Path,
    form: Form = Form(),  # noqa: B008 (frozen)
    *,
    engine: str | None = None,
    **settings: Any,
) -> ExportReport:
    """Exports an architecture of the registry with random weights.

    The suffix of `output` says as what, see `export_checkpoint`.
    Batch-norms have the statistics of random inputs, so that each layer's
    activations are about as spread as in a trained network. The metadata has
    `untrained` true and says the rest as for a trained network.

    Args:
        arch: name in the registry.
        form: which networks the file holds. Its seed also determines all weights and inputs.
        engine: which an ONNX file is for, see `export_model`.
        settings: of the architecture, where not the defaults; or fields of the form, as
            `activations="stochastic"`.

    Raises:
        ConfigError: unknown architecture or settings, or no such file can be.
        ModelError: the file cannot be written.
    """
    chosen = {key: settings.pop(key) for key in vars(form) if key in settings}
    form = replace(form, **chosen)
    check_target(output, stochastic=form.stochastic, engine=engine)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(form.seed)
        network = models.create(arch, **settings)
        _randomise_batchnorm(network)
    preprocess = preprocess_of(network.config)
    (inputs,) = example.inputs(
        example.shapes_of_inputs(preprocess), preprocess, count=BATCHNORM_INPUTS, seed=form.seed
    )
    _measure_ranges(network, inputs)
    return export_built(
        Built(network, arch, network.kind, network.config),
        [inputs],
        output,
        form,
        calibration=inputs,
        classes=[str(index) for index in range(network.config["classes"])],
        preprocess=preprocess,
        engine=engine,
        metadata={"untrained": True},
    )


def preprocess_of(config: Mapping[str, Any]) -> Preprocess | Standardize:
    """What makes the inputs that a network's config states: other numbers stay as they are."""
    channels, *sizes = shape = models.input_shape(config)
    if len(sizes) < 2:
        return Standardize(shape, mean=(0.0,) * channels, std=(1.0,) * channels)
    height, width = sizes
    return of_pixels(channels, height, width)


def _measure_ranges(network: nn.Module, inputs: torch.Tensor) -> None:
    """Shows inputs to 8-bit layers as training does; batch-norms are estimated again later."""
    if any(isinstance(module, EightBit) for module in network.modules()):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network.train()(inputs)
        network.eval()


def _randomise_batchnorm(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
