"""`sbn benchmark --remote`: what devices are sent, and what comes back."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_deploy.engines.table import COMPARED, NATIVE
from sbn_deploy.remote.phone import measure_on_phone
from sbn_deploy.remote.steps import Material, Site, measure_remotely
from sbn_deploy.remote.target import Phone, Target
from sbn_runtime.errors import ConfigError, InputError

from .benchmark import facts_of, settings_of
from .common import say
from .remote_options import measure_each

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset
    from sbn_deploy.engines.look import Loaded
    from sbn_deploy.records.benchmark import Benchmark

Job = Callable[[], "Benchmark"]


def measure_there(
    options: argparse.Namespace,
    devices: Mapping[str, Target | Phone],
    dataset: Dataset | None,
    isa: str,
    files: Mapping[str, Path],
) -> dict[str, Benchmark]:
    """Measures on all devices at the same time; what it returns and raises is as in
    `measure_each`.

    Args:
        dataset: images for the first model to classify.
        isa: the kernel set to use on phones; "" for the fastest.
        files: where to write each measurement.
    """
    phones = {name: one for name, one in devices.items() if isinstance(one, Phone)}
    boards = {name: one for name, one in devices.items() if isinstance(one, Target)}
    _check_compared(options.compare, bool(boards), bool(phones))
    models = _exported(options)
    with tempfile.TemporaryDirectory() as folder:
        jobs: dict[str, Job] = {}
        if boards:
            jobs |= _on_boards(options, boards, models, dataset, Path(folder))
        jobs |= {
            name: partial(_on_phone, options, phone, models, dataset, isa)
            for name, phone in phones.items()
        }
        return measure_each({name: jobs[name] for name in devices}, files)


def _check_compared(names: tuple[str, ...], boards: bool, phones: bool) -> None:
    for name in names:
        if boards and not COMPARED[name].devices:
            raise ConfigError(f"{name} runs on this machine only; leave it out with --remote")
        if phones and COMPARED[name].name != NATIVE:
            raise ConfigError(
                f"--compare {name} does not go with --remote adb:, whose shell has our own runtime"
                " only: onnxruntime for Android runs in apps; compare here, or on a board with"
                " --remote ssh://"
            )


def _exported(options: argparse.Namespace) -> list[Loaded]:
    """The models, which devices are to be sent. Raises InputError."""
    from sbn_deploy.engines.look import load

    models = [load(model) for model in options.models]
    for model in models:
        if not model.exported:
            raise InputError(
                f"{model.path}: has no sbn operators; a device is sent files of `sbn export`"
            )
    return models


def _on_boards(
    options: argparse.Namespace,
    boards: Mapping[str, Target],
    models: list[Loaded],
    dataset: Dataset | None,
    folder: Path,
) -> dict[str, Job]:
    """What all are sent is made once."""
    from sbn_deploy.benchmark.baselines import Baselines
    from sbn_deploy.evaluate.scores import classified
    from sbn_runtime import Session

    import_module("pydantic")  # reads the answer; if it is missing, better now than after the work
    test = found = None
    if dataset is not None:
        say(f"classifying {len(dataset)} images of {dataset.name} here")
        _, found = classified(Session(models[0].path), dataset.images, dataset.labels)
        test = (dataset.images, dataset.labels)
    baselines = Baselines(options.compare, folder, say, options.own)
    materials = [
        Material(model.path, facts, baselines.files(model.path, model.metadata))
        for model, facts in zip(models, facts_of(models), strict=True)
    ]

    def measure(site: Site) -> Benchmark:
        answer = measure_remotely(site, materials, test, settings_of(options), say)
        record, remote = answer.benchmark, answer.benchmark.remote
        if dataset is None or found is None or remote is None:
            return record
        differing = int((found != answer.labels).sum())
        return replace(
            record, data=dataset.name, remote=replace(remote, differing_labels=differing)
        )

    return {
        name: partial(measure, Site(target, options.remote_python or "", options.wheel))
        for name, target in boards.items()
    }


def _on_phone(
    options: argparse.Namespace,
    phone: Phone,
    models: list[Loaded],
    dataset: Dataset | None,
    isa: str,
) -> Benchmark:
    described = [(model.path, facts) for model, facts in zip(models, facts_of(models), strict=True)]
    test = None if dataset is None else (dataset.images, dataset.labels)
    record = measure_on_phone(phone, described, test, settings_of(options), isa, say)
    return record if dataset is None else replace(record, data=dataset.name)
