"""What a stochastic binary network is compared with: the same architecture with
real weights in onnxruntime, as float32 and quantised to 8 bits."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from sbn_deploy.benchmark.fold import fold_batchnorm
from sbn_deploy.nn import models
from sbn_runtime import ModelError

CALIBRATION_BATCH = 16
# Softmax stays float: eight bits would coarsen the probabilities.
QUANTISED_OPS = [
    *("Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool"),
    *("AveragePool", "GlobalAveragePool", "Flatten", "Reshape"),
]


class _Classifier(nn.Module):
    """Adds the output `probabilities`, as exported binary networks have it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(input)
        return logits, torch.softmax(logits, dim=1)


def export_fp32(model: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Writes a float network as ONNX: `input` [N, C, H, W] to `logits` and `probabilities`.

    Its batch-norms are folded as far as they can be.

    Args:
        model: takes float32 [N, C, H, W] to logits [N, K].
        shape: of one input: C, H, W.
        path: replaced only when the export succeeds.
    """
    with _quiet(), _replacing(path) as temporary:
        torch.onnx.export(
            _Classifier(fold_batchnorm(model)).eval(),
            (torch.zeros(2, *shape),),
            temporary,
            dynamo=True,
            external_data=False,
            input_names=["input"],
            output_names=["logits", "probabilities"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )


def quantise_int8(fp32: Path, path: Path, calibration: NDArray[np.float32]) -> None:
    """Quantises a file of `export_fp32` statically: weights by channel, activations by tensor.

    Weights have 7 bits: on x86-64 without VNNI onnxruntime adds two products in 16 bits, which
    would saturate and can cost most of the accuracy.

    Args:
        fp32: the file to quantise.
        path: replaced only when the quantisation succeeds.
        calibration: typical input, float32 [N, C, H, W], normalised.
    """
    with _quiet(), _replacing(path) as temporary:
        prepared = temporary.with_suffix(".prepared.onnx")
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(temporary),
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED_OPS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )


def untrained_baselines(
    metadata: Mapping[str, Any], names: Sequence[str], folder: Path
) -> dict[str, Path]:
    """Files of the baselines `names` ("fp32", "int8") of an exported model, for timing only.

    They have the model's architecture and random weights, on which latency does
    not depend.

    Raises:
        ModelError: the metadata does not name the architecture.
    """
    try:
        arch, config = metadata["arch"], metadata["config"]
        shape = models.input_shape(config)
    except KeyError as error:
        raise ModelError(
            f"the model's metadata lacks {error}, so its fp32 twin cannot be built"
        ) from error
    torch.manual_seed(0)
    files = {"fp32": folder / "fp32.onnx"}
    export_fp32(models.create_twin(arch, **config), shape, files["fp32"])
    if "int8" in names:
        files["int8"] = folder / "int8.onnx"
        noise = np.random.default_rng(0).standard_normal((64, *shape), np.float32)
        quantise_int8(files["fp32"], files["int8"], noise)
    return files


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, x: NDArray[np.float32]) -> None:
        self._batches: Iterator[NDArray[np.float32]] = (
            x[start : start + CALIBRATION_BATCH] for start in range(0, len(x), CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that replaces it on success."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        os.replace(temporary, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' advice to developers away from users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
