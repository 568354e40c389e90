"""Several processes that train one network, as started by torchrun."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from sbn_deploy.train.config import TrainConfig
from sbn_runtime.errors import ConfigError, RemoteError, reason


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes; every process must call."""
        if self.count > 1:
            value = value.to(self.device)
            dist.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in some process; every process must call."""
        if self.count == 1:
            return flag
        return bool(self.total(torch.tensor(int(flag))).item())

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.count > 1:
            dist.barrier()

    def gather(self, value: Tensor) -> list[Tensor]:
        """The tensors of all processes, of one shape, in the order of ranks."""
        if self.count == 1:
            return [value]
        parts = [torch.empty_like(value, device=self.device) for _ in range(self.count)]
        dist.all_gather(parts, value.to(self.device))
        return [part.cpu() for part in parts]


def device_of(config: TrainConfig) -> torch.device:
    """Where this process trains."""
    if config.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


@contextmanager
def ranks(config: TrainConfig) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if any, and choose the device.

    Raises:
        ConfigError: no CUDA device, or a batch that cannot be shared equally.
        RemoteError: another process was not reached, or was lost meanwhile.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', but torch finds no CUDA device; use 'cpu' or 'auto'")
    device = device_of(config)
    cuda = device.type == "cuda"
    parts = config.gradient_accumulation
    if config.batch_size % (count * parts):
        raise ConfigError(
            f"batch_size {config.batch_size} does not divide among {count} processes with "
            f"{parts} parts each; make it a multiple of {count * parts}"
        )
    if config.batch_size < 2 * count * parts:
        raise ConfigError(
            f"batch_size {config.batch_size} leaves fewer than two images in each part of "
            f"{count} processes; batch-norm needs two"
        )
    if count == 1:
        yield Ranks(0, 1, device)
        return
    if cuda:
        torch.cuda.set_device(device)
    # Sizes of one have no one stride; the layout is right all the same.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
    try:
        dist.init_process_group("nccl" if cuda else "gloo")
        yield Ranks(dist.get_rank(), count, device)
    except RuntimeError as error:
        # What gloo raises has no class of its own.
        if isinstance(error, dist.DistError) or "gloo" in str(error).lower():
            raise RemoteError(
                f"process {os.environ['RANK']} of {count} lost the others, or did not reach them:"
                f" {reason(error)}"
            ) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
