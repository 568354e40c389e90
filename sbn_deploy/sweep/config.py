"""What a sweep tries: the settings of its TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from sbn_deploy.materialize.materialize import MOST_MEMBERS
from sbn_deploy.reading.text import read_toml
from sbn_deploy.settings import Settings
from sbn_runtime.errors import ConfigError
from sbn_runtime.threads import MOST_THREADS

Count = Annotated[int, Field(ge=1)]


class SweepConfig(Settings):
    """One checkpoint, the forms it is deployed in, and where they run.

    Raises ConfigError for wrong settings.
    """

    checkpoint: Path = Field(description="file of `sbn train`, or a state dict of network")
    network: str = Field(
        default="", description="FILE.py:NAME whose state dict the checkpoint is; empty for none"
    )
    preprocess: list[str] = Field(
        default=[],
        description="how images become its input, as `sbn export --preprocess` takes it; empty"
        " for as in training on data",
    )
    twin: Path | None = Field(
        default=None, description="its fp32 twin (`sbn train --twin`), which joins as fp32 and int8"
    )
    data: str = Field(default="digits", description="test images, as `sbn evaluate --data` takes")
    images: Count | None = Field(default=None, description="use that many evenly spaced ones")
    calibrate: bool = Field(
        default=False,
        description="calibrate each file on the validation images of data, which training must"
        " have held out",
    )

    weights: list[Literal["threshold", "sample"]] = Field(
        default=["threshold", "sample"], min_length=1, description="how weights are fixed"
    )
    members: list[Annotated[int, Field(ge=1, le=MOST_MEMBERS)]] = Field(
        default=[1, 2, 4, 8], min_length=1, description="with sampled weights: networks in the file"
    )
    activations: list[Literal["deterministic", "stochastic"]] = Field(
        default=["deterministic", "stochastic"],
        min_length=1,
        description="deterministic or stochastic signs",
    )
    samples: list[Count] = Field(
        default=[1, 2, 4, 8],
        min_length=1,
        description="with stochastic signs: samples for each member",
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of sampled weights and signs")

    engines: list[Literal["sbn", "native", "lce"]] = Field(
        default=["sbn"],
        min_length=1,
        description="sbn, native, and lce for the forms without stochastic signs",
    )
    threads: list[Annotated[int, Field(ge=1, le=MOST_THREADS)]] = Field(
        default=[1], min_length=1, description="threads that share a call"
    )
    batch: list[Count] = Field(default=[1], min_length=1, description="images in a call")
    runs: Count = Field(default=200, description="timed calls of each form at most")

    def model_post_init(self, _: Any) -> None:
        if self.preprocess and not self.network:
            raise ConfigError("setting preprocess needs network; checkpoints record it themselves")
        if "sbn" not in self.engines:
            raise ConfigError("engines must include sbn, which the others are compared with")
        for name in ("weights", "members", "activations", "samples", "engines", "threads", "batch"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ConfigError(f"setting {name} names a value twice: {values}")


def load(path: Path, *, data: str | None = None) -> SweepConfig:
    """The settings of a TOML file, with other test images if given. Raises ConfigError."""
    settings = read_toml(path)
    if data is not None:
        settings["data"] = data
    return SweepConfig(**settings)
