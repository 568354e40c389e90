"""The header of a checkpoint, checked once where it is read."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sbn_deploy.reading.text import readable_names
from sbn_runtime.errors import ArtifactError, ModelError
from sbn_runtime.preprocess import Preprocess, Standardize, preprocess_from
from sbn_runtime.tasks import CLASSIFICATION

FORMAT = "sbn-checkpoint"
VERSION = 1

RENAMED_OPTIONS = {"estimator": "weight_gradient"}
"""Settings of binary networks (`sbn_deploy.nn.models.BinaryOptions`) by their old names."""

# Older headers have all of these; the settings of someone's own network may be called anything.
_ALWAYS_THERE = {"weight_noise", "activation_noise", "surrogate", "init_std"}


@dataclass(frozen=True)
class Header:
    """The header of a checkpoint of `sbn train`.

    Attributes:
        arch, kind, config, source_sha256: what `sbn_deploy.networks.Built` says of the network.
        data: the data set it was trained on.
        task: what its targets are.
        classes: names of the classes or labels, `readable`.
        preprocess: what makes the network's input of the data.
        metrics: scores on the test split, by how weights were fixed.
        seed: of training.
        split: the part of the data that was trained on, "train" or "train+validation"; empty in
            checkpoints of older versions.
    """

    arch: str
    kind: Literal["sbn", "fp32"]
    config: dict[str, Any]
    data: str
    classes: tuple[str, ...]
    preprocess: Preprocess | Standardize
    seed: int
    task: str
    metrics: dict[str, dict[str, float]]
    source_sha256: str
    split: str

    @classmethod
    def parse(cls, fields: Mapping[str, Any], path: str | Path) -> Header:
        """The header that JSON holds. Raises ArtifactError, which names the file and the entry."""
        entries = _Entries(fields, path)
        kind = entries.get("kind", str)
        if kind not in ("sbn", "fp32"):
            raise entries.broken("kind", "must be 'sbn' or 'fp32'")
        classes = entries.get("classes", list)
        if not all(isinstance(name, str) for name in classes):
            raise entries.broken("classes", "must contain strings")
        metrics = entries.get("metrics", dict, {})
        for scores in metrics.values():
            if not isinstance(scores, dict) or not all(map(_is_number, scores.values())):
                raise entries.broken("metrics", "must contain tables of numbers")
        try:
            preprocess = preprocess_from(entries.get("preprocess", dict))
        except ModelError as error:
            raise ArtifactError(f"{path} has a broken header: 'preprocess': {error}") from error
        return cls(
            arch=entries.get("arch", str),
            kind=kind,
            config=_current(entries.get("config", dict)),
            data=entries.get("data", str),
            classes=readable_names(classes),
            preprocess=preprocess,
            seed=entries.get("seed", int),
            task=entries.get("task", str, CLASSIFICATION),
            metrics=metrics,
            source_sha256=entries.get("source_sha256", str, ""),
            split=entries.get("split", str, ""),
        )


def _current(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a network by their names of today."""
    if not config.keys() >= _ALWAYS_THERE:
        return config
    return {RENAMED_OPTIONS.get(key, key): value for key, value in config.items()}


_NAMES = {str: "a text", int: "a whole number", dict: "a table", list: "a list"}


class _Entries:
    """The entries of a header, each of the type that is asked for."""

    def __init__(self, fields: Mapping[str, Any], path: str | Path) -> None:
        self.fields = fields
        self.path = path

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """An entry; the default where it is missing, if there is one."""
        value = self.fields.get(key, default)
        if type(value) is not kind:
            raise self.broken(key, f"must be {_NAMES[kind]}")
        return value

    def broken(self, key: str, rule: str) -> ArtifactError:
        """What is wrong with an entry."""
        found = reprlib.repr(self.fields[key]) if key in self.fields else "missing"
        return ArtifactError(
            f"{self.path} has a broken header: {key!r} is {found}; it {rule}; train again, or use"
            " an undamaged copy"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
