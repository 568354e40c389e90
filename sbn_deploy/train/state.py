"""An unfinished training run on disk, with everything needed to resume."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.optim import Optimizer

from sbn_deploy.nn import models, storage
from sbn_deploy.reading.parsing import parsing
from sbn_deploy.settings import RenamedWarning
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.ema import Ema
from sbn_runtime.errors import ArtifactError, ConfigError

FORMAT = "sbn-training-state"
VERSION = 1
STATE = "state.safetensors"
REMEDY = "delete it and train again"


@dataclass
class Position:
    """How far training has come.

    epoch, step: finished epochs, and steps taken in the next one.
    loss: sum of losses of these steps, float64 scalar.
    correct: how many of their answers were right; parts count where an answer has parts.
    seconds: time spent on the next epoch so far.
    history: one record for each finished epoch.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def begun(self) -> bool:
        """Whether a step was taken."""
        return self.epoch > 0 or self.step > 0


@dataclass(frozen=True)
class Live:
    """The objects that change in training."""

    model: nn.Module
    optimizers: Sequence[Optimizer]
    ema: Ema | None
    weight_generator: torch.Generator | None


def save(
    path: Path, live: Live, position: Position, config: TrainConfig, random: Sequence[Tensor]
) -> None:
    """Write the state, atomically.

    Args:
        random: the random state of each process.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    tensors = {f"model.{name}": tensor for name, tensor in live.model.state_dict().items()}
    numbers: dict[str, Any] = {}
    for index, optimizer in enumerate(live.optimizers):
        for number, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                name = f"optimizer.{index}.{number}.{key}"
                (tensors if isinstance(value, Tensor) else numbers)[name] = value
    if live.ema is not None:
        tensors |= {f"ema.{index}": mean for index, mean in enumerate(live.ema.means)}
    if live.weight_generator is not None:
        tensors["weights.random"] = live.weight_generator.get_state()
    tensors |= {f"random.{rank}": state for rank, state in enumerate(random)}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "config": config.model_dump(mode="json"),
        "position": vars(position),
        "numbers": numbers,
        "processes": len(random),
    }
    storage.write(path, tensors, header)


@dataclass(frozen=True)
class _Header:
    config: dict[str, Any]
    position: Position
    numbers: dict[str, float]
    processes: int


class Saved:
    """The state of an unfinished run, read from a file.

    Raises:
        ArtifactError: a file that is missing, damaged, or not a training state.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors, fields = storage.read(path, format=FORMAT, version=VERSION)
        with parsing(ArtifactError, path, "has a broken header", REMEDY):
            header = TypeAdapter(_Header).validate_python(fields)
        self.config, self.position = header.config, header.position
        self.numbers, self.processes = header.numbers, header.processes

    def configuration(self, asked: TrainConfig) -> TrainConfig:
        """The configuration of the run.

        Raises:
            ConfigError: a setting that `asked` names differs from the run's.
        """
        with warnings.catch_warnings():
            # It may have been written when settings had other names.
            warnings.simplefilter("ignore", RenamedWarning)
            free = {"out": asked.out, "workers": asked.workers}
            found = TrainConfig(**(self.config | free))
        for key in sorted(asked.binding):
            if getattr(asked, key) != getattr(found, key):
                raise ConfigError(
                    f"{self.path} belongs to a run with {key} = {getattr(found, key)!r}, not "
                    f"{getattr(asked, key)!r}; resume without changes, or choose another folder"
                )
        return found

    def restore(self, live: Live, rank: int, count: int) -> Tensor:
        """Put everything back in place; the random state of this process.

        Raises:
            ConfigError: the run had another number of processes.
            ArtifactError: a tensor is missing or of another shape.
        """
        if count != self.processes:
            raise ConfigError(
                f"{self.path} belongs to a run of {self.processes} processes, not {count}; "
                "start as many again"
            )
        models.load_state(live.model, self._under("model."), self.path)
        with parsing(ArtifactError, self.path, "does not fit its run", REMEDY):
            for index, optimizer in enumerate(live.optimizers):
                self._restore_optimizer(optimizer, f"optimizer.{index}.")
            if live.ema is not None:
                means = self._under("ema.")
                live.ema.load([means[str(index)] for index in range(len(live.ema.means))])
            if live.weight_generator is not None:
                live.weight_generator.set_state(self.tensors["weights.random"])
            return self.tensors[f"random.{rank}"]

    def _restore_optimizer(self, optimizer: Optimizer, prefix: str) -> None:
        state: dict[int, dict[str, Any]] = {}
        for name, value in {**self._under(prefix), **self._under(prefix, self.numbers)}.items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        whole = optimizer.state_dict()
        optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})

    def _under(self, prefix: str, items: dict[str, Any] | None = None) -> dict[str, Any]:
        found = self.tensors if items is None else items
        return {name[len(prefix) :]: v for name, v in found.items() if name.startswith(prefix)}


def check_disk(folder: Path, model: nn.Module) -> None:
    """Make sure that states and checkpoint will fit.

    Raises:
        ConfigError: too little space is left.
    """
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    # Parameters, two moments and a running mean, twice while one replaces another; and the
    # networks of the last epoch and of the best one, and one that replaces them.
    needed = 11 * size + (1 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigError(
            f"{folder} has {free / 1e6:.1f} MB left, and training needs {needed / 1e6:.1f} MB; "
            "free some, or choose another folder"
        )
