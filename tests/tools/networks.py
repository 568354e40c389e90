"""Whole networks against rivals on this machine: docs/benchmarks.md and its JSON.

    python -m tests.tools.networks

Every network is measured in this process: each engine in turns, pinned to one
core, batch 1. The networks are untrained, on which latency does not depend.
Rivals have the same architecture and get the same images:

- onnxruntime, float32 and 8 bits (static QDQ), batch-norms folded, rectifiers
  in place of signs;
- torch, float32, the same network;
- Larq Compute Engine, the same binary network, with and without XNNPACK, if
  larq-compute-engine is installed. Its files are written by `lce_models` if
  TensorFlow is there too; otherwise NAME.tflite is looked for in --files; where
  there is none, our own file is translated. The report says which was used.

Files of `lce_zoo` in --files are imported and measured too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter, strftime

import numpy as np
import torch
from numpy.typing import NDArray

from sbn_deploy.benchmark import lce
from sbn_deploy.benchmark.float_baselines import export_fp32, quantise_int8
from sbn_deploy.benchmark.fold import fold_batchnorm
from sbn_deploy.benchmark.timing import Timing, measure, measure_each, pinned
from sbn_deploy.benchmark.torch_network import torch_engine
from sbn_deploy.engines.onnx import Engine, sbn_engine, stock_engine
from sbn_deploy.export.untrained import export_untrained
from sbn_deploy.lce.interpreter import is_installed
from sbn_deploy.machine.describe import describe, version_of
from sbn_deploy.measure import lce_zoo, networks_report
from sbn_deploy.nn import models
from sbn_deploy.nn.models import Network
from sbn_deploy.profile.node_times import NodeTime, node_times
from sbn_runtime import available_isas
from sbn_runtime.errors import ModelError, SbnError
from sbn_runtime.files import write_atomically
from tests.tools.imported import measure_imported

NETWORKS = ("cifar-vgg", "birealnet18", "quicknet-small", "quicknet", "quicknet-large")
GENERATOR_PACKAGES = ("larq_compute_engine", "larq", "tensorflow", "tf_keras")
# Where the file that LCE runs comes from.
LCE_FILES = ("LCE's converter", "our translation")
CALIBRATION_IMAGES = 16
LARGE_BATCH = 32


@dataclass(frozen=True)
class NetworkResult:
    """What was measured of one network.

    `timings` are of batch 1 on one thread, first ours for each ISA, fastest
    first; `scaling` of our fastest with more threads and larger batches.
    `file_bytes` has the names of `timings` as keys. `lce_file` is one of
    `LCE_FILES`, empty if LCE was not measured. `translation_ms` is what it takes to
    make a TFLite file of the ONNX file.
    """

    network: str
    timings: list[Timing]
    scaling: list[Timing]
    file_bytes: dict[str, int]
    nodes: list[NodeTime]
    lce_file: str
    translation_ms: float


@dataclass(frozen=True)
class Files:
    """One network in every form; `lce` is None where LCE is not installed."""

    sbn: Path
    fp32: Path
    int8: Path
    lce: Path | None
    lce_file: str
    twin: Network


def prepare(name: str, folder: Path) -> Files:
    """Writes the files of a network into `folder`. A TFLite file that is there is kept."""
    torch.manual_seed(0)
    twin = models.create_twin(name)
    shape = models.input_shape(twin.config)
    sbn = folder / f"{name}.onnx"
    export_untrained(name, sbn)
    files = Files(
        sbn,
        folder / f"{name}.fp32.onnx",
        folder / f"{name}.int8.onnx",
        *_lce_file(name, sbn),
        twin,
    )
    export_fp32(twin, shape, files.fp32)
    quantise_int8(files.fp32, files.int8, images(CALIBRATION_IMAGES, twin))
    return files


def images(count: int, network: Network) -> NDArray[np.float32]:
    """Uniform noise of the network's size: float32 [count, C, H, W], pixels from -1 to 1."""
    shape = count, *models.input_shape(network.config)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    return (pixels * 2 - 255) / 255


def measure_network(name: str, files: Files, *, runs: int) -> NetworkResult:
    """Measures one network in every engine."""
    x = images(1, files.twin)
    warmup = max(3, runs // 10)
    with pinned(1):
        engines = list(_engines(files))
        timings = measure(engines, x, runs=runs, warmup=warmup)
        sbn = sbn_engine("sbn", files.sbn, threads=1)
        nodes = node_times(files.sbn, sbn.adapt(x), runs=max(10, runs // 4))
    sizes = {
        "sbn": files.sbn.stat().st_size,
        "onnxruntime fp32": files.fp32.stat().st_size,
        "onnxruntime int8": files.int8.stat().st_size,
    }
    if files.lce is not None:
        sizes["LCE"] = files.lce.stat().st_size
    return NetworkResult(
        name,
        timings,
        _scaling(files, runs),
        sizes,
        nodes,
        files.lce_file,
        _translation_ms(files.sbn),
    )


def _translation_ms(path: Path) -> float:
    """The median of a few translations to TFLite."""
    taken = []
    for _ in range(5):
        begin = perf_counter()
        lce.translated(path)
        taken.append((perf_counter() - begin) * 1e3)
    return median(taken)


def _engines(files: Files) -> list[Engine]:
    engines: list[Engine] = [
        sbn_engine(f"sbn {isa}", files.sbn, threads=1, isa=isa)
        for isa in reversed(available_isas())
    ]
    engines += [
        stock_engine("onnxruntime int8", files.int8, threads=1),
        stock_engine("onnxruntime fp32", files.fp32, threads=1),
        torch_engine("torch fp32", fold_batchnorm(files.twin), threads=1),
    ]
    if files.lce is not None:
        engines += [
            lce.lce_engine("LCE", files.lce, threads=1, xnnpack=False),
            lce.lce_engine("LCE with XNNPACK", files.lce, threads=1, xnnpack=True),
        ]
    return engines


def _scaling(files: Files, runs: int) -> list[Timing]:
    """One thread, two threads, and a large batch on one thread, in turns."""
    one, many = images(1, files.twin), images(LARGE_BATCH, files.twin)
    cores = min(2, len(os.sched_getaffinity(0)))
    with pinned(cores):
        single = sbn_engine("sbn", files.sbn, threads=1)
        cases: list[tuple[Engine, NDArray[np.float32]]] = [(single, one)]
        if cores > 1:
            cases.append((sbn_engine("sbn", files.sbn, threads=cores), one))
        cases.append((single, many))
        return measure_each(cases, runs=max(5, runs // 10), warmup=2)


def _lce_file(name: str, sbn: Path) -> tuple[Path | None, str]:
    """The network's file for LCE, and which of `LCE_FILES` it is."""
    if not is_installed():
        return None, ""
    path = _tflite(name, sbn.with_suffix(".tflite"))
    if path is not None:
        return path, LCE_FILES[0]
    translated = sbn.with_suffix(".translated.tflite")
    write_atomically(translated, lce.translated(sbn))
    return translated, LCE_FILES[1]


def _tflite(name: str, path: Path) -> Path | None:
    """The file of LCE's converter: as found, or written if the packages are installed."""
    if not path.is_file():
        if any(find_spec(package) is None for package in GENERATOR_PACKAGES):
            return None
        command = [sys.executable, "-m", "tests.tools.lce_models", name, "-o", str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:]
            raise ModelError(f"LCE's converter failed on {name}: {' '.join(reason)}")
    return path


def main() -> None:
    """Measures, and writes the report."""
    parser = argparse.ArgumentParser(
        description="Measures whole networks against other engines, and writes the report.",
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--runs", type=int, default=100, help="timed calls of each engine")
    parser.add_argument(
        "--files", type=Path, default=Path("runs/networks"), help="folder for the models"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("docs/benchmarks.md"), help="report to write"
    )
    options = parser.parse_args()
    try:
        _run(options.networks, options.runs, options.files, options.output)
    except SbnError as error:
        parser.exit(2, f"error: {error}\n")


def _run(names: Sequence[str], runs: int, folder: Path, output: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    machine = describe() | {
        "torch": torch.__version__,
        "larq_compute_engine": version_of("larq-compute-engine"),
        "date": strftime("%Y-%m-%d"),
    }
    results = []
    for name in names:
        print(f"{name}: writing the files", file=sys.stderr, flush=True)
        files = prepare(name, folder)
        print(f"{name}: measuring", file=sys.stderr, flush=True)
        results.append(measure_network(name, files, runs=runs))
    imported = []
    for name in lce_zoo.NETWORKS if is_installed() else ():
        source = folder / f"{name}.tflite"
        if source.is_file():
            print(f"{name}: importing and measuring", file=sys.stderr, flush=True)
            imported.append(measure_imported(source, source.with_suffix(".onnx"), runs=runs))
    command = f"python -m tests.tools.networks --runs {runs}"
    for path in networks_report.write(output, results, imported, machine, command):
        print(path)


if __name__ == "__main__":
    main()
