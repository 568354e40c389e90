"""What a search tries: the settings of its TOML file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sbn_deploy.reading.text import read_toml
from sbn_deploy.settings import Settings
from sbn_deploy.train.config import TrainConfig
from sbn_runtime.errors import ConfigError

Goal = Literal["accuracy", "latency", "bytes"]


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; whole ones if both are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Range:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low = {self.low} must be below high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log = true starts above 0, not at {self.low}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step = {self.step} must be above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether its numbers are integers."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))


Choices = Annotated[list[Any], Field(min_length=2)]


class TuneConfig(Settings):
    """The settings that are searched, and what makes one trial better than another.

    Raises ConfigError for wrong settings.
    """

    search: dict[str, Range | Choices] = Field(
        min_length=1,
        description="by name, as `sbn train --set` has them: a list of values, or"
        " { low, high, log, step }",
    )
    goals: list[Goal] = Field(
        default=["accuracy"],
        min_length=1,
        description="accuracy: the score of the validation images by which training chooses the"
        " best epoch; latency: median milliseconds of a call on one image in the exported file;"
        " bytes: its size. With several, the trials that no other beats in all of them",
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the search itself")
    warmup_epochs: int = Field(
        default=1, ge=0, description="epochs in which no trial is stopped for a poor score"
    )

    def model_post_init(self, _: Any) -> None:
        if len(set(self.goals)) < len(self.goals):
            raise ConfigError(f"setting goals names a goal twice: {self.goals}")
        if self.goals[0] != "accuracy":
            raise ConfigError("setting goals begins with accuracy, which every trial is scored by")
        for name in self.search:
            if name in ("out", "data", "validation", "members"):
                raise ConfigError(f"{name} cannot be searched: it is the same in all trials")

    def recipe(self, base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
        """The recipe of a trial. Raises ConfigError where the values are wrong."""
        settings: dict[str, Any] = base.model_dump(exclude_unset=True)
        for name, value in values.items():
            *tables, last = name.split(".")
            table = settings
            for part in tables:
                table[part] = dict(table.get(part, {}))
                table = table[part]
            table[last] = value
        # Ensembles play no part, and scoring them would take longer than a short trial.
        return TrainConfig(**{**settings, "validation": True, "members": 1})

    def check(self, base: TrainConfig) -> None:
        """Raises ConfigError where a value that may be tried is none that its setting takes."""
        for name, space in self.search.items():
            ends = [space.low, space.high] if isinstance(space, Range) else space
            for value in ends:
                try:
                    self.recipe(base, {name: value})
                except ConfigError as error:
                    raise ConfigError(f"search: {name} = {json.dumps(value)}: {error}") from error


def load(path: Path) -> TuneConfig:
    """The settings of a TOML file. Raises ConfigError."""
    return TuneConfig(**read_toml(path))


def as_toml(value: Any, *, exact: bool = False) -> str:
    """A value as `--set` takes it; floats with six digits unless all are wanted."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(value) if exact else f"{value:.6g}"
        case list():
            return f"[{', '.join(as_toml(one, exact=exact) for one in value)}]"
    return str(value)
