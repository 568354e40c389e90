"""Training that was stopped, by a signal or by force, goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sbn_deploy.train import state
from sbn_deploy.train.logs import HISTORY
from sbn_deploy.train.loop import CHECKPOINT, METRICS, TrainConfig, train
from sbn_deploy.train.trainer import Stopped, Trainer
from sbn_runtime.errors import ArtifactError, ConfigError

from ..sampled import few

EPOCHS = 8
# Everything that has a state: moments of two kinds, a running mean, noise, order.
RECIPE = {"epochs": EPOCHS, "ema": 0.9, "batchnorm_images": 50, "members": 2, "model": {"width": 4}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return train(TrainConfig(out=folder, **RECIPE)).checkpoint_path.read_bytes()


def start(folder: Path) -> subprocess.Popen[str]:
    """The recipe in a process of its own."""
    settings = [f"{key}={value}" for key, value in RECIPE.items() if key != "model"]
    arguments = [part for text in [*settings, "model.width=4"] for part in ("--set", text)]
    return subprocess.Popen(
        [sys.executable, "-m", "sbn_deploy.cli", "train", "--out", folder, "--resume", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not happened() and process.poll() is None:
        time.sleep(0.002)


def finished_epochs(folder: Path) -> int:
    path = folder / HISTORY
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


@pytest.mark.long
def test_kills_lose_at_most_the_running_epoch(tmp_path: Path, whole: bytes) -> None:
    generator = random.Random(0)
    for target in (1, 3, 5):
        process = start(tmp_path)
        wait_for(lambda target=target: finished_epochs(tmp_path) >= target, process)
        time.sleep(generator.random() * 0.1)
        process.kill()
        process.communicate()
        seen = finished_epochs(tmp_path)
        saved = state.Saved(tmp_path / state.STATE)
        assert saved.position.epoch >= seen >= target
        assert not (tmp_path / CHECKPOINT).exists()
    result = train(TrainConfig(out=tmp_path, **RECIPE), resume=True)
    assert result.checkpoint_path.read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, METRICS, HISTORY}
    assert [record["epoch"] for record in result.metrics["history"]] == [*range(1, EPOCHS + 1)]


def test_a_resumed_run_keeps_its_settings(tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise Stopped("after the first epoch", signal.SIGTERM)

    config = TrainConfig(out=tmp_path, epochs=2, members=1, calibrate=True, model={"width": 2})
    with pytest.raises(Stopped):
        train(config, after_epoch=stop)
    done = train(TrainConfig(out=tmp_path), resume=True).config
    assert (done.epochs, done.calibrate, done.model["width"]) == (2, True, 2)


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / f".{state.STATE}.abc").write_bytes(b"half")
    train(TrainConfig(out=tmp_path, epochs=1, members=1, model={"width": 2}))
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, METRICS, HISTORY}


@pytest.mark.long
def test_sigterm_finishes_the_step_and_saves(tmp_path: Path, whole: bytes) -> None:
    process = start(tmp_path)
    wait_for((tmp_path / state.STATE).exists, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143, errors
    assert "resume with: sbn train --resume" in errors
    saved = state.Saved(tmp_path / state.STATE)
    assert 0 < saved.position.epoch < EPOCHS
    result = train(TrainConfig(out=tmp_path), resume=True)
    assert result.checkpoint_path.read_bytes() == whole


@pytest.mark.parametrize("steps", few([22, 1, 30], 1))
def test_stopping_between_any_two_steps_changes_nothing(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    step = Trainer._step

    def counted(self: Trainer, *arguments: Any) -> tuple[float, int]:
        result = step(self, *arguments)
        done = self.position.epoch * self.steps + self.position.step + 1
        if done == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", counted)
        with pytest.raises(Stopped, match=f"after step {(steps - 1) % 22 + 1} of 22"):
            train(TrainConfig(out=tmp_path, **RECIPE))
    torch.rand(5)
    result = train(TrainConfig(out=tmp_path, **RECIPE), resume=True)
    assert result.checkpoint_path.read_bytes() == whole


def stopped_run(folder: Path, **settings: Any) -> Path:
    """The state of a run that was stopped after one epoch."""
    config = TrainConfig(out=folder, epochs=2, model={"width": 2}, members=1, **settings)
    trained: list[int] = []

    class Enough(Exception):
        pass

    def count(*arguments: Any) -> None:
        save(*arguments)
        trained.append(1)
        raise Enough

    save = state.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "save", count)
        with pytest.raises(Enough):
            train(config)
    return folder / state.STATE


def test_resume_refuses_other_settings(tmp_path: Path) -> None:
    stopped_run(tmp_path)
    with pytest.raises(ConfigError, match=r"run with epochs = 2, not 3; resume without changes"):
        train(TrainConfig(out=tmp_path, epochs=3), resume=True)


def test_resume_refuses_another_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stopped_run(tmp_path)
    saved = state.Saved(path)
    with pytest.raises(ConfigError, match="run of 1 processes, not 2"):
        saved.restore(Any, 0, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_resume_refuses_a_damaged_state(tmp_path: Path, kept: int) -> None:
    path = stopped_run(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match="damaged"):
        train(TrainConfig(out=tmp_path), resume=True)


def test_resume_of_a_finished_run_returns_its_result(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path, epochs=1, members=1, model={"width": 2})
    result = train(config)
    before = result.checkpoint_path.stat().st_mtime_ns
    again = train(config, resume=True)
    assert again.checkpoint_path.stat().st_mtime_ns == before
    assert again.metrics == json.loads(json.dumps(result.metrics))


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path / "new", epochs=1, members=1, model={"width": 2})
    assert train(config, resume=True).checkpoint_path.exists()
