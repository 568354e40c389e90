"""Settings that every test shares."""

from __future__ import annotations

from hypothesis import settings

# `pytest --hypothesis-profile=thorough` searches much longer.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
# Under an emulator everything takes far longer.
settings.register_profile("emulated", max_examples=5, deadline=None)
settings.load_profile("quick")
