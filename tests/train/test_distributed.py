"""Several processes that train one network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sbn_deploy import data, tasks
from sbn_deploy.nn import models
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distributed import Ranks, ranks
from sbn_deploy.train.head import Head
from sbn_deploy.train.loop import CHECKPOINT, METRICS
from sbn_deploy.train.trainer import Trainer
from sbn_runtime.errors import ConfigError

CPU = torch.device("cpu")


def trainers(folder: Path, count: int, **settings: object) -> list[Trainer]:
    """The trainers of all processes, in one."""
    images = data.load("digits", "train")
    config = TrainConfig(out=folder, model={"width": 4}, **settings)
    head = Head(tasks.find("classification"))
    made = []
    for rank in range(count):
        torch.manual_seed(0)
        model = models.create("digits-cnn", width=4)
        made.append(Trainer(model, head, images, None, config, Ranks(rank, count, CPU)))
    return made


@pytest.mark.parametrize("same", [True, False])
def test_weights_of_a_step_are_the_same_or_not_by_choice(tmp_path: Path, same: bool) -> None:
    drawn = []
    noise = []
    for trainer in trainers(tmp_path, 2, same_weights=same):
        # Each is the only one in its process: set up again what the other has changed.
        torch.manual_seed(trainer.group.rank)
        trainer.model.train()
        noise.append(trainer.model.stage1.sign(torch.zeros(100)))
        drawn.append(trainer.model.stage2.conv.weight())
    assert torch.equal(*drawn) is same
    assert not torch.equal(*noise)


def test_processes_share_every_batch_of_an_epoch(tmp_path: Path) -> None:
    alone = trainers(tmp_path, 1, batch_size=48)[0]._order()
    parts = [t._order() for t in trainers(tmp_path, 3, batch_size=48, gradient_accumulation=2)]
    assert parts[0].shape == (alone.shape[0], 2, 8)
    for step, batch in enumerate(alone):
        together = torch.cat([part[step].flatten() for part in parts])
        assert torch.equal(together, batch.flatten())


@pytest.mark.long
def test_torchrun_with_two_processes(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "sbn_deploy.cli", "train", "--out", str(tmp_path), "--epochs", "6", "--json"),
        *("--set", "same_weights=true", "--set", "model.width=16", "--set", "members=2"),
        *("--set", "device=cpu", "--set", "gradient_accumulation=2"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == {"checkpoint": str(tmp_path / CHECKPOINT)} | json.loads(
        (tmp_path / METRICS).read_text()
    )
    losses = [record["loss"] for record in result["history"]]
    assert losses[-1] < 0.8 * losses[0]
    assert result["metrics"]["thresholded"]["accuracy"] > 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 63}, r"batch_size 63 does not divide among 2 processes"),
        ({"batch_size": 2}, r"fewer than two images"),
        ({"batch_size": 64, "gradient_accumulation": 32}, r"fewer than two images"),
    ],
)
def test_batches_that_cannot_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], message: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = TrainConfig(out=tmp_path, **settings)
    with pytest.raises(ConfigError, match=message), ranks(config):
        pass


def test_cuda_is_asked_for_but_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with (
        pytest.raises(ConfigError, match="torch finds no CUDA device"),
        ranks(TrainConfig(out=tmp_path, device="cuda")),
    ):
        pass
