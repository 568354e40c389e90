"""Checkpoints written during training: of the last epoch, and of the best one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sbn_deploy.networks import Built
from sbn_deploy.nn import models, storage
from sbn_deploy.tasks import Metric
from sbn_deploy.train import checkpoint

LAST = "last.safetensors"
BEST = "best.safetensors"

Applied = Callable[[], contextlib.AbstractContextManager[Any]]


class Kept:
    """Writes the network after each epoch, so that an unfinished run can be exported.

    Args:
        folder: of the results.
        built: what is trained, with the parameters of the moment.
        meta, images, digests: see `checkpoint.save`; the scores are not known yet.
        metric: of the validation images, by which the best epoch is chosen; None without them.
    """

    def __init__(
        self,
        folder: Path,
        built: Built,
        meta: Mapping[str, Any],
        images: NDArray[np.uint8] | None,
        digests: NDArray[np.uint64] | None,
        metric: Metric | None,
    ) -> None:
        self.folder = folder
        self.built = built
        self.meta = meta
        self.images = images
        self.digests = digests
        self.metric = metric

    def write(self, history: Sequence[Mapping[str, Any]], applied: Applied) -> None:
        """Keeps the epoch that ends `history`; under `applied` the network is as it is used."""
        with applied():
            self._save(LAST)
            if self.metric is not None and best_epoch(history, self.metric) == len(history):
                self._save(BEST)

    def restore_best(self, model: nn.Module) -> None:
        """Gives the network the parameters of the best epoch. Raises ArtifactError."""
        path = self.folder / BEST
        tensors, _ = storage.read(path, format=checkpoint.FORMAT, version=checkpoint.VERSION)
        for name in (storage.CALIBRATION, storage.DIGESTS):
            tensors.pop(name, None)
        models.load_state(model, tensors, path)

    def _save(self, name: str) -> None:
        checkpoint.save(self.folder / name, self.built, self.meta, self.images, self.digests)


def best_epoch(history: Sequence[Mapping[str, Any]], metric: Metric) -> int:
    """The number of the epoch, from 1, with the best validation score, the first of equals.

    NaN is worse than any; 0 without a history.
    """
    sign = 1 if metric.better == "higher" else -1
    found, best = 0, -np.inf
    for number, record in enumerate(history, 1):
        score = sign * record[f"validation_{metric.key}"]
        if not found or score > best:
            found, best = number, score if score == score else -np.inf
    return found
