"""The test images that `sbn evaluate` and `sbn benchmark` classify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import SbnError

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset, ImageForm


def form_of(model: str | Path) -> ImageForm:
    """The form of the images that a checkpoint or an ONNX file takes; the usual one elsewhere."""
    from sbn_deploy.data import ImageForm
    from sbn_runtime.preprocess import preprocess_from

    path = Path(model)
    try:
        if path.suffix == ".safetensors":
            from sbn_deploy.nn import storage

            metadata = storage.read_header(path)
        elif path.suffix == ".onnx":
            from sbn_runtime import Session

            metadata = Session(path, threads=1).metadata
        else:
            return ImageForm()
        fields = metadata.get("preprocess")
        return ImageForm.of(preprocess_from(fields)) if isinstance(fields, dict) else ImageForm()
    except SbnError:  # what uses the file says better what is wrong with it
        return ImageForm()


def test_images(spec: str, count: int | None, model: str | Path) -> Dataset:
    """The test split of a data set as a model takes it, or `count` evenly spaced images of it.

    Raises InputError where they have no classes, and what `sbn_deploy.data.load` raises.
    """
    from sbn_deploy.data import load
    from sbn_runtime import InputError
    from sbn_runtime.tasks import CLASSIFICATION

    dataset = load(spec, "test", form_of(model))
    if dataset.task != CLASSIFICATION:
        raise InputError(
            f"{dataset.name} has targets for {dataset.task}, but accuracy is for classes;"
            f" measure the model with `sbn evaluate MODEL --data {spec}`"
        )
    return dataset if count is None else dataset.evenly(count)
