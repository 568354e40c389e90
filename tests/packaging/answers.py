"""What a device computes: every output of every model in a folder, by every kernel set.

    python answers.py MODELS ANSWERS.npz

Beside each model.onnx lies model.npz with its inputs, and with `images` if it is a
classifier. Needs only what a device has.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import sbn_runtime
from sbn_runtime.engines.onnxruntime import session_options
from sbn_runtime.native import forced_isa


def answers(model: Path) -> dict[str, NDArray[Any]]:
    """The outputs of a model, and the labels of a classifier."""
    feeds = dict(np.load(model.with_suffix(".npz")))
    found = {}
    if "images" in feeds:
        session = sbn_runtime.Session(model, threads=1)
        x = session.preprocess(feeds.pop("images"))
        found["labels"] = session.predict(x)
        feeds[session.inputs[0].name] = x
    native = onnxruntime.InferenceSession(
        str(model), session_options(threads=2), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in native.get_outputs()]
    return {**found, **dict(zip(names, native.run(names, feeds), strict=True))}


def main(folder: Path, output: Path) -> None:
    found = {}
    for isa in sbn_runtime.available_isas():
        with forced_isa(isa):
            for model in sorted(folder.glob("*.onnx")):
                for name, value in answers(model).items():
                    found[f"{isa}/{model.stem}/{name}"] = value
    np.savez(output, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
