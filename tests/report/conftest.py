"""Reports of measurements that are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_deploy.records.files import load_all
from sbn_deploy.records.measurement import Measurement
from sbn_deploy.report import Report, collect, write

from . import builder, samples

Collected = Callable[..., Report]


@pytest.fixture
def collected(tmp_path: Path) -> Collected:
    """Writes measurements under their names and collects them."""

    def collect_measurements(**measurements: Measurement) -> Report:
        paths = builder.write(tmp_path / "runs", **measurements)
        return collect(load_all(paths, lambda text: None))

    return collect_measurements


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """18 forms of a checkpoint on two machines."""
    folder = samples.sweep(tmp_path_factory.mktemp("sweep"))
    return collect(load_all([folder], lambda text: None))


@pytest.fixture(scope="session")
def sweep_page(sweep: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `sweep`."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(sweep, path)
    return path


@pytest.fixture(scope="session")
def single_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one model with its baselines."""
    folder = samples.single(tmp_path_factory.mktemp("single"))
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(collect(load_all([folder], lambda text: None)), path)
    return path
