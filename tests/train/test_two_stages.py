"""Recipes that train the fp32 twin first."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy.train import state
from sbn_deploy.train.loop import CHECKPOINT, HISTORY, METRICS, TrainConfig, train
from sbn_deploy.train.trainer import Stopped, Trainer
from sbn_runtime.errors import ConfigError

from ..command import sbn

SMALL: dict[str, Any] = {"arch": "digits-cnn", "model": {"width": 2}, "members": 1, "ema": 0.9}
TWIN_EPOCHS, EPOCHS = 2, 1
STEPS = 17
"""In an epoch, of 1,149 images."""


def staged(folder: Path, **settings: Any) -> TrainConfig:
    both = {"epochs": EPOCHS, "twin_epochs": TWIN_EPOCHS, "calibrate": True}
    return TrainConfig(out=folder, **(SMALL | both | settings))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return train(staged(tmp_path_factory.mktemp("whole"))).checkpoint_path.read_bytes()


@pytest.mark.parametrize("distill", [False, True])
def test_both_stages_are_those_of_two_commands(distill: bool, tmp_path: Path, whole: bytes) -> None:
    one = tmp_path / "one"
    if distill:
        whole = train(staged(one, distill=True, weights="mean")).checkpoint_path.read_bytes()
    settings = SMALL | {"calibrate": True}
    twin = train(TrainConfig(out=tmp_path / "twin", twin=True, epochs=TWIN_EPOCHS, **settings))
    settings |= {"distill": True, "weights": "mean"} if distill else {}
    start = {"start_from": twin.checkpoint_path, "epochs": EPOCHS}
    two = train(TrainConfig(out=tmp_path / "two", **settings, **start))
    assert two.checkpoint_path.read_bytes() == whole
    if distill:
        assert (one / "twin" / CHECKPOINT).read_bytes() == twin.checkpoint_path.read_bytes()
        assert {path.name for path in one.iterdir()} == {"twin", CHECKPOINT, METRICS, HISTORY}


@pytest.mark.parametrize("step", [STEPS + 1, TWIN_EPOCHS * STEPS + 2], ids=["twin", "network"])
def test_a_run_stopped_in_either_stage_is_resumed_by_its_folder(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    run = tmp_path / "run"
    take = Trainer._step
    taken: list[int] = []

    def counted(self: Trainer, *arguments: Any) -> tuple[float, float]:
        taken.append(1)
        if len(taken) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", counted)
        with pytest.raises(Stopped) as caught:
            train(staged(run))
    assert str(caught.value).endswith(f"; resume with: sbn train --resume --out {run}")
    assert (run / "twin" / CHECKPOINT).exists() == (step > TWIN_EPOCHS * STEPS)
    with pytest.raises(ConfigError, match="contains an unfinished run; add --resume"):
        train(staged(run))
    assert train(TrainConfig(out=run), resume=True).checkpoint_path.read_bytes() == whole
    assert not (run / state.STATE).exists()


def test_the_optimiser_of_latents_is_of_the_second_stage_alone(tmp_path: Path) -> None:
    done = train(staged(tmp_path, optimizer="bop", weights="deterministic", latent_decay=0.0))
    assert done.metrics["recipe"]["optimizer"] == "bop"
    assert (tmp_path / "twin" / CHECKPOINT).exists()


def test_what_is_said_of_both(tmp_path: Path) -> None:
    said: list[str] = []
    train(staged(tmp_path), report=said.append)
    assert said[0].startswith(
        "two stages: the fp32 twin, then the network from its weights; of the network alone,"
        " expected: about"
    )
    first, second = said.index("stage 1, the fp32 twin"), said.index("stage 2, the network")
    assert any("steps: 17 an epoch" in line and "2 epochs" in line for line in said[first:second])
    assert any("parameters, stochastic binary" in line for line in said[second:])


def test_the_folder_of_the_twin_is_not_taken_from_another_run(tmp_path: Path) -> None:
    train(TrainConfig(out=tmp_path / "twin", **SMALL, twin=True, epochs=1))
    with pytest.raises(ConfigError, match="twin contains a trained network; choose another folder"):
        train(staged(tmp_path))
    assert not (tmp_path / state.STATE).exists()
    train(staged(tmp_path), overwrite=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("start_from=a.safetensors", "start_from and twin_epochs both say where training starts"),
        ("twin=true", "twin_epochs does not apply to the fp32 twin; leave it out with twin"),
        ("warmup=2", "twin_epochs is 2: warmup of 2 epochs leaves none of 2 to train"),
        ("twin_epochs=-1", "twin_epochs"),
    ],
)
def test_what_contradicts_is_refused(settings: str, said: str, tmp_path: Path) -> None:
    words = ["--set", "epochs=9", "--set", "twin_epochs=2", "--set", settings]
    assert said in sbn("train", "--out", tmp_path / "run", *words).refused()
