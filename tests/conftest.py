"""Settings that every test shares."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

from .built import stale_library

# `pytest --hypothesis-profile=thorough` searches much longer. Tests that export a network for
# each example take a part of these.
settings.register_profile("quick", max_examples=15, deadline=None)
settings.register_profile("thorough", max_examples=2500, deadline=None)
# Under an emulator everything takes far longer.
settings.register_profile("emulated", max_examples=5, deadline=None)
settings.load_profile("quick")


def pytest_configure() -> None:
    """Refuses to test an old library."""
    if why := stale_library():
        raise pytest.UsageError(why)


def pytest_collection_finish() -> None:
    """Spares the collector what was imported: torch and onnx alone are a million objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
