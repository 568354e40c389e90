"""The test images that `sbn evaluate` and `sbn benchmark` classify."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset


def test_images(spec: str, count: int | None) -> Dataset:
    """The test split of a data set, or `count` evenly spaced images of it.

    Raises InputError where they have no classes, and what `sbn_deploy.data.load` raises.
    """
    from sbn_deploy.data import load
    from sbn_runtime import InputError
    from sbn_runtime.tasks import CLASSIFICATION

    dataset = load(spec, "test")
    if dataset.task != CLASSIFICATION:
        raise InputError(
            f"{dataset.name} has targets for {dataset.task}, and accuracy is of classes; measure"
            f" the model with `sbn evaluate MODEL --data {spec}`"
        )
    return dataset if count is None else dataset.evenly(count)
