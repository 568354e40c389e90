"""Files of LCE's own converter, in its engine and imported into ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_converters.tflite.read import read
from sbn_converters.tflite.write import write
from sbn_deploy.benchmark.timing import Timing, measure_each, pinned
from sbn_deploy.engines.lce import lce_engine
from sbn_deploy.engines.onnx import Engine, sbn_engine
from sbn_deploy.importing import import_file
from sbn_deploy.lce.interpreter import interpreter
from sbn_runtime import Session

AGREEMENT_IMAGES = 12
# Largest difference of logits as a share of the largest one; beyond it a sign has turned.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """Logits of two engines on the same random images.

    `median` is that of the largest differences, as shares of the largest logit;
    in `images` of AGREEMENT_IMAGES they are at most TOLERANCE.
    """

    median: float
    images: int


@dataclass(frozen=True)
class ImportedResult:
    """One network: `timings` of ours, then of LCE without and with XNNPACK.

    `agreement` is ours with LCE without XNNPACK, `own_agreement` that of LCE with
    XNNPACK with the same.
    """

    network: str
    timings: list[Timing]
    file_bytes: int
    imported_bytes: int
    agreement: Agreement
    own_agreement: Agreement

    @property
    def ratio(self) -> float:
        """How many times longer LCE takes in its faster mode than we do."""
        ours, *theirs = (timing.p50_ms for timing in self.timings)
        return min(theirs) / ours


def measure_imported(source: Path, output: Path, *, runs: int) -> ImportedResult:
    """Imports a classifier's TFLite file for one image, and measures it in both engines.

    One thread, batch 1.
    """
    import_file(source, output)
    with pinned(1):
        session = Session(output, threads=1)
        height, width, channels = (n for n in session.inputs[0].shape[1:] if isinstance(n, int))
        shape = 1, channels, height, width
        image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        cases: list[tuple[Engine, NDArray[np.float32]]] = [
            (sbn_engine("sbn", output, threads=1), np.moveaxis(image, 1, -1).copy()),
            (lce_engine("LCE", source, threads=1, xnnpack=False), image),
            (lce_engine("LCE with XNNPACK", source, threads=1, xnnpack=True), image),
        ]
        timings = measure_each(cases, runs=runs, warmup=max(3, runs // 10))
    shape = AGREEMENT_IMAGES, height, width, channels
    images = np.random.default_rng(5).uniform(-1, 1, shape).astype(np.float32)
    ours = session.run(images)["logits"]
    plain, delegated = (_logits(source, images, xnnpack=xnnpack) for xnnpack in (False, True))
    return ImportedResult(
        source.stem,
        timings,
        source.stat().st_size,
        output.stat().st_size,
        _agreement(ours, plain),
        _agreement(delegated, plain),
    )


def _logits(source: Path, images: NDArray[np.float32], *, xnnpack: bool) -> NDArray[np.float32]:
    """What LCE takes the softmax of, [N, K]."""
    model = read(source.read_bytes(), str(source))
    last = model.operators[-1]
    if last.name == "SOFTMAX":
        model.outputs = [last.inputs[0]]
        model.operators.pop()
    made = interpreter(write(model), "indirect", xnnpack=xnnpack)
    return np.concatenate([made.predict([image[None]])[0] for image in images])


def _agreement(found: NDArray[np.float32], expected: NDArray[np.float32]) -> Agreement:
    differences = np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)
    return Agreement(float(np.median(differences)), int((differences <= TOLERANCE).sum()))
