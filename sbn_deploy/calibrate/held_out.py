"""Which part of a data set a file is calibrated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sbn_deploy import data
from sbn_deploy.data import Dataset, ImageForm
from sbn_deploy.data.digests import TRAINING_IMAGES
from sbn_runtime.errors import ConfigError, ModelError
from sbn_runtime.preprocess import preprocess_from

from .rewrite import read_metadata


def held_out(model: Path, spec: str, split: str | None = None) -> tuple[Dataset, str]:
    """The data, and which part of the set it is.

    Unless it is said, the validation part where training held it out, else the test part.

    Raises:
        ConfigError: what `sbn_deploy.data.load` raises; the data allows another task only.
        ModelError: the file cannot be read.
    """
    try:
        metadata = read_metadata(model.read_bytes(), model)
    except OSError as error:
        raise ModelError(f"{model}: {error.strerror or error}") from error
    chosen = split or default_split(metadata.get(TRAINING_IMAGES))
    if chosen not in ("validation", "test"):
        raise ConfigError(f"a file is calibrated on validation or test data, not on {chosen}")
    fields = metadata.get("preprocess")
    form = ImageForm.of(preprocess_from(fields)) if isinstance(fields, dict) else ImageForm()
    return data.load(spec, "validation" if chosen == "validation" else "test", form), chosen


def default_split(training_images: Any) -> str:
    """ "validation" where a file says that training held it out, else "test"."""
    trained_on = training_images.get("split") if isinstance(training_images, dict) else None
    return "validation" if trained_on == "train" else "test"
