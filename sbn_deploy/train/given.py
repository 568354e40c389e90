"""Settings of a network that follow from the data."""

from __future__ import annotations

from typing import Any

from sbn_deploy.data import Dataset
from sbn_deploy.data.dataset import standardize
from sbn_deploy.nn import models
from sbn_runtime.errors import ConfigError


def given(images: Dataset, arch: str) -> dict[str, Any]:
    """Settings of an architecture or a reference that follow from the data.

    `classes` is the number of outputs, whatever they are; `target_mean` and `target_std` [K] are
    of the numbers to answer with, where there is one row of them. Of an architecture of the
    registry, only the settings that it has.

    Raises:
        ConfigError: an architecture of the registry takes inputs of another kind.
    """
    answer = images.output_shape
    found: dict[str, Any] = {"classes": answer[0] if answer else 1}
    if images.task == "regression" and len(answer) < 2:
        unit = standardize(images.labels.reshape(len(images), -1))
        found |= {"target_mean": list(unit.mean), "target_std": list(unit.std)}
    match images.input_shape:
        case (features,):
            found |= {"features": features}
        case (channels, length):
            found |= {"channels": channels, "length": length}
        case (channels, height, width):
            size = height if height == width else [height, width]
            found |= {"channels": channels, "size": size}
    if arch not in models.names():
        return found
    known = models.settings(arch)
    if not known & {"size", "length", "features"} <= found.keys():
        shape = "x".join(map(str, images.input_shape))
        raise ConfigError(
            f"{images.name} has inputs of {shape}, which {arch} does not take; choose another"
            " architecture"
        )
    return {key: found[key] for key in found.keys() & known}
