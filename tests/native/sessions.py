"""Comparing sessions of two engines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.engines.engine import example
from sbn_runtime import Session


def compare(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> None:
    """Floats may differ by 1e-5 of the largest value."""
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        largest = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, 0, 1e-5 * largest, err_msg=name)


def compare_sessions(path: Path) -> None:
    """A file in engine native and in sbn: what it says of itself, and its answers."""
    native, sbn = (Session(path, engine=engine, threads=1) for engine in ("native", "sbn"))
    assert (native.inputs, native.outputs) == (sbn.inputs, sbn.outputs)
    assert (native.metadata, native.task) == (sbn.metadata, sbn.task)
    assert native.stochastic == sbn.stochastic
    draw: dict[str, Any] = {"seed": 5, "samples": 4} if native.stochastic else {}
    for batch in (1, 3):
        feed = example(native.inputs, batch)
        compare(native.run(feed, **draw), sbn.run(feed, **draw))
