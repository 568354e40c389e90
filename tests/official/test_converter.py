"""The same networks through the official converter of Larq Compute Engine and through ours.

The official one converts Keras networks with larq's layers; these have the
weights of torch's. Both files run in LCE's interpreter.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sbn_deploy.export import export_model
from sbn_deploy.lce.process import run_lce
from sbn_deploy.untrained import export_untrained
from tests.tools import lce_models

from . import torch_network
from .cases import AGREED, MISPLACED, TIED
from .description import Network, Residual

pytestmark = pytest.mark.skipif(
    any(find_spec(package) is None for package in lce_models.PACKAGES),
    reason="needs TensorFlow and larq, the extra tflite: make test-lce",
)

ALL = AGREED | MISPLACED | TIED
SAMPLES = 64
TOLERANCE = 1e-4
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Converted:
    """Two files of one network, and the logits [SAMPLES, K] of torch and of each."""

    ours: Path
    official: Path
    torch: NDArray[np.float32]
    from_ours: NDArray[np.float32]
    from_official: NDArray[np.float32]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NAME.tflite of every case from the official converter."""
    folder = tmp_path_factory.mktemp("official")
    networks = folder / "networks"
    networks.write_bytes(pickle.dumps(ALL))
    command = [sys.executable, "-m", "tests.official.keras_network", str(networks), str(folder)]
    _run(command)
    return folder


@pytest.fixture(scope="module")
def converted(official: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Converted]:
    """Every case, converted and run."""
    ours = tmp_path_factory.mktemp("ours")
    return {
        name: _convert(network, ours / f"{name}.tflite", official / f"{name}.tflite")
        for name, network in ALL.items()
    }


def _convert(network: Network, ours: Path, official: Path) -> Converted:
    module = torch_network.build(network)
    random = np.random.default_rng(0)
    images = random.normal(size=(SAMPLES, *network.image)).astype(np.float32)
    images[random.random(images.shape) < 0.05] = 0
    batch = torch.from_numpy(images)
    export_model([module], batch[:2], ours)
    with torch.no_grad():
        expected = module(batch).numpy()
    fed = np.ascontiguousarray(np.moveaxis(images, 1, -1))
    logits = [run_lce(path, fed)[0].reshape(expected.shape) for path in (ours, official)]
    return Converted(ours, official, expected, *logits)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _wrong(found: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    """How many samples differ by more than rounding."""
    return int((np.abs(found - expected).max(axis=1) > TOLERANCE).sum())


def _turned(name: str) -> int:
    """How many samples may differ: sums of reals round differently, and may turn a sign."""
    return 3 if any(isinstance(layer, Residual) for layer in ALL[name].layers) else 0


@pytest.mark.parametrize("name", ALL)
def test_our_file_answers_as_torch_does(converted: dict[str, Converted], name: str) -> None:
    assert _wrong(converted[name].from_ours, converted[name].torch) <= _turned(name)


@pytest.mark.parametrize("name", AGREED)
def test_official_file_answers_as_ours_does(converted: dict[str, Converted], name: str) -> None:
    assert _wrong(converted[name].from_official, converted[name].from_ours) <= _turned(name)


@pytest.mark.parametrize("name", MISPLACED)
def test_official_converter_misplaces_borders(converted: dict[str, Converted], name: str) -> None:
    # True of version 0.16.0. If a later one mends it, the case belongs to `AGREED`.
    assert _wrong(converted[name].from_official, converted[name].torch) > SAMPLES // 2


@pytest.mark.parametrize("name", TIED)
def test_official_converter_decides_ties_otherwise(
    converted: dict[str, Converted], name: str
) -> None:
    assert _wrong(converted[name].from_official, converted[name].torch) > 0


@pytest.mark.parametrize("name", ALL)
def test_our_file_is_hardly_larger(converted: dict[str, Converted], name: str) -> None:
    sizes = [path.stat().st_size for path in (converted[name].ours, converted[name].official)]
    # Ours also has the metadata and a softmax.
    assert sizes[0] <= 1.01 * sizes[1] + 1024


def test_official_converter_has_no_packed_border_of_minus_one(
    converted: dict[str, Converted],
) -> None:
    case = converted["border-minus-1"]
    assert case.ours.stat().st_size < case.official.stat().st_size / 2


def test_networks_of_the_registry_are_hardly_larger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {}
    for name in lce_models.NETWORKS:
        ours, official = tmp_path / f"{name}.tflite", tmp_path / f"{name}.official.tflite"
        export_untrained(name, ours)
        _run([sys.executable, "-m", "tests.tools.lce_models", name, "-o", str(official)])
        sizes[name] = ours.stat().st_size, official.stat().st_size
    lines = [f"{'bytes':16}{'ours':>10}{'official':>10}{'ratio':>8}"]
    for name, (ours_bytes, official_bytes) in sizes.items():
        ratio = ours_bytes / official_bytes
        lines.append(f"{name:16}{ours_bytes:10}{official_bytes:10}{ratio:8.4f}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert max(ours_bytes / official_bytes for ours_bytes, official_bytes in sizes.values()) < 1.01
