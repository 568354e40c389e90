"""Do imported files answer as LCE does? `python -m tests.tools.lce_agreement FILE.tflite ...`

For each classifier for one image: on how many of 12 random images the logits of `sbn import`'s
file are those of LCE without XNNPACK, to TOLERANCE; and those of LCE with XNNPACK.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_converters.tflite.read import read
from sbn_converters.tflite.write import write
from sbn_deploy.importing import import_file
from sbn_deploy.lce.interpreter import interpreter
from sbn_runtime import Session

from .networks import table

IMAGES = 12
# Largest difference of logits as a share of the largest one; beyond it a sign fell the other way.
TOLERANCE = 1e-5

Logits = NDArray[np.float32]


def row(source: Path, folder: Path) -> list[str]:
    """The cells of one network."""
    model = folder / "imported.onnx"
    import_file(source, model)
    session = Session(model, threads=1)
    sizes = [size for size in session.inputs[0].shape[1:] if isinstance(size, int)]
    images = np.random.default_rng(5).uniform(-1, 1, (IMAGES, *sizes)).astype(np.float32)
    plain, delegated = (_in_lce(source, images, xnnpack=xnnpack) for xnnpack in (False, True))
    ours = _differences(session.run(images)["logits"], plain)
    own = _differences(delegated, plain)
    return [
        source.stem,
        f"{np.median(ours):.0e}",
        *(str(int((found <= TOLERANCE).sum())) for found in (ours, own)),
    ]


def _in_lce(source: Path, images: NDArray[np.float32], *, xnnpack: bool) -> Logits:
    """What LCE takes the softmax of, [N, K]."""
    model = read(source.read_bytes(), str(source))
    last = model.operators[-1]
    if last.name == "SOFTMAX":
        model.outputs = [last.inputs[0]]
        model.operators.pop()
    made = interpreter(write(model), "indirect", xnnpack=xnnpack)
    return np.concatenate([made.predict([image[None]])[0] for image in images])


def _differences(found: Logits, expected: Logits) -> NDArray[np.float32]:
    differences: NDArray[np.float32] = np.abs(found - expected).max(axis=1)
    return differences / np.abs(expected).max(axis=1)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.tflite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(path, Path(folder)) for path in options.files]
    print(table(["network", "median difference", "agree", "LCE's agree"], rows))


if __name__ == "__main__":
    main()
