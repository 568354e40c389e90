"""Runs a TFLite file in LCE's interpreter, in a process that may end with it.

    python -m sbn_deploy.lce.worker MODEL.tflite INPUTS.npy OUTPUTS.npz

INPUTS holds the samples, [N, ...]; OUTPUTS gets one array for each output of the
model, under its number, [N, ...]. Exit status `REFUSED` if LCE refuses the file:
it says why on stderr.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sbn_deploy.system import host

from .interpreter import KERNELS, interpreter

REFUSED = 3


def main() -> None:
    """Runs every sample."""
    parser = argparse.ArgumentParser(prog="python -m sbn_deploy.lce.worker")
    parser.add_argument("model", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--kernels", choices=KERNELS, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--xnnpack", action="store_true")
    options = parser.parse_args()
    # A crash is expected and reported by the parent: no file of it should stay behind.
    host.forbid_core_file()
    try:
        made = interpreter(
            options.model.read_bytes(),
            options.kernels,
            threads=options.threads,
            xnnpack=options.xnnpack,
        )
        results = [made.predict([sample[None]]) for sample in np.load(options.inputs)]
    except RuntimeError as error:
        parser.exit(REFUSED, f"{error}\n")
    columns = zip(*results, strict=True)
    np.savez(options.outputs, **{str(i): np.stack(column) for i, column in enumerate(columns)})


if __name__ == "__main__":
    main()
