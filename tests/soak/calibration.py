"""Calibrations in the metadata of a file, and what it says of its training images."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.calibrate.rewrite import with_metadata
from sbn_deploy.data.digests import Sketch, digests
from sbn_runtime import Session
from sbn_runtime.calibration import KEY
from sbn_runtime.modelfile import weights_digest

from ..calibrations import calibration
from ..small_models import CLASSES, PREPROCESS, StochasticClassifier, random_images
from .mutate import changed, damaged, verdict

METADATA: dict[str, Any] = {
    "classes": list(CLASSES),
    "preprocess": PREPROCESS,
    "members": 2,
    "samples": 4,
    "noise_seed": 7,
}


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    model, said = _sound()
    if rng.random() < 0.2:
        found = digests(random_images(20))
        sketch = changed(Sketch.of(found, "train").to_json(), rng)
        return verdict(lambda: Sketch.parse(sketch).overlap(found))
    path = folder / "model.onnx"
    content = json.loads(json.dumps(changed(said, rng)))
    try:
        path.write_bytes(with_metadata(model, {**METADATA, KEY: content}, path))
    except (ValueError, UnicodeEncodeError):  # no JSON: NaN, or half a character
        return "refused"
    if rng.random() < 0.1:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return verdict(lambda: _use(path))


def _use(path: Path) -> None:
    session = Session(path, threads=1)
    x = session.preprocess(random_images(3))
    with np.errstate(all="raise", under="ignore"):
        p = session.predict_proba(x)
        assert np.isfinite(p).all()
        session.predict_until(x, max_samples=8)
        known = session.calibration
        if known is None:
            return
        for level in known.levels:
            for method in ("lac", "aps", "raps"):
                sets = session.predict_set(x, coverage=level, method=method)
                assert sets.labels.dtype == bool
        for share in () if known.unknown is None else known.unknown.shares:
            session.predict(x, reject=share)


@cache
def _sound() -> tuple[bytes, dict[str, Any]]:
    """A file without calibration, and one for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = StochasticClassifier.random(2).write(Path(folder) / "model.onnx")
        digest = weights_digest(path)
        return path.read_bytes(), calibration(weights_sha256=digest).to_json()
