"""Tests of layers run on one thread: they are small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sbn_deploy.nn.threads import threads


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield
