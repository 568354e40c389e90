"""Logs of training: always CSV, and TensorBoard on request."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sbn_runtime.errors import MissingDependencyError
from sbn_runtime.files import write_atomically

HISTORY = "history.csv"
TENSORBOARD = "tensorboard"


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """One line for each record, whole or not at all.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_atomically(path, text.getvalue().encode())


class TensorBoard:
    """Writes records to a folder that TensorBoard reads.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                "tensorboard = true needs TensorBoard; install it with `pip install tensorboard`, "
                "or leave the setting out: history.csv has the same numbers"
            ) from error
        self.writer = SummaryWriter(folder)

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds the numbers of one epoch."""
        for name, value in record.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, record["epoch"])
        self.writer.flush()
