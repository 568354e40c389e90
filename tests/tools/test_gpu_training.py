"""The script for a GPU, on a CPU and in seconds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import CHECKPOINT, TrainConfig, load
from sbn_runtime.errors import ConfigError

from . import gpu_training

ROOT = Path(__file__).parents[2]
RECIPE = """
twin_epochs = 2
epochs = 4
latent_lr = 3.0
calibrate = true
members = 1
[model]
width = 8
"""


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Any]:
    """The folder with the results, and the figures that were printed."""
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    recipe.write_text(RECIPE, encoding="utf-8")
    arguments = ["--device", "cpu", "--minutes", "99", "--data", "digits", "--batch-size", "256"]
    chosen = ["--recipe", str(recipe), "--recipes", str(recipe), "--out", str(out)]
    assert gpu_training.main([*arguments, *chosen]) == 0
    return out, json.loads(capsys.readouterr().out)


def test_a_recipe_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_training, "SHARE", 1e-5)
    monkeypatch.setattr(gpu_training, "MOST", 20_000)
    out, figures = run(tmp_path, capsys)
    parts = {f"{CHECKPOINT}.{index:02}" for index in range(2)}
    rest = {"figures.json", "history.csv", "metrics.json", "twin-metrics.json"}
    assert {file.name for file in out.iterdir()} == parts | rest
    assert all((out / part).stat().st_size <= 20_000 for part in parts)
    assert json.loads((out / "figures.json").read_text()) == figures
    (speeds,) = figures["speeds"].values()
    assert speeds["network"]["images_per_second"] > 0 < speeds["twin"]["epoch_seconds"]
    join, check, calibrate = figures["next"]
    subprocess.run(f"{join} && {check}", shell=True, check=True, cwd=out)
    assert calibrate.startswith("sbn train --resume --calibrate")
    _, meta = checkpoint.load(out / CHECKPOINT)
    metrics = json.loads((out / "metrics.json").read_text())
    assert meta.metrics == metrics["metrics"]
    recipe = metrics["recipe"]
    assert recipe["latent_lr"] == 3 * 2  # the batch is four times as large
    assert len(metrics["history"]) == recipe["epochs"] == figures["trained"]["epochs"]


def test_what_takes_too_long_is_kept_without_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_training, "LATEST", 0.0)
    monkeypatch.setattr(gpu_training, "SHARE", 1e-5)
    out, figures = run(tmp_path, capsys)
    assert not figures["scored"]
    assert len((out / "history.csv").read_text().splitlines()) == 2
    assert checkpoint.load(out / CHECKPOINT)[1].metrics == {}


def test_lengths_fit_into_the_time(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path, epochs=60, twin_epochs=30, deterministic_epochs=6)
    found = gpu_training.fitted(config, 400, network=2.0, twin=1.0)
    assert 2.0 * found["epochs"] + found["twin_epochs"] <= 400
    assert found == {
        "epochs": 160,
        "twin_epochs": 80,
        "warmup": 5,
        "deterministic_epochs": 16,
        "milestones": (),
    }
    taught = gpu_training.changed(config, {"distill": True})
    assert gpu_training.fitted(taught, 400, network=2.0, twin=1.0)["epochs"] < 160
    none = gpu_training.fitted(config, 1e-3, network=2.0, twin=1.0)
    assert (none["epochs"], none["twin_epochs"], none["warmup"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "recipe",
    sorted((ROOT / "models").glob("cifar-*/recipe.toml")),
    ids=lambda path: path.parent.name,
)
def test_recipes_that_are_timed(recipe: Path, tmp_path: Path) -> None:
    config = load(recipe, out=tmp_path)
    larger = gpu_training.changed(config, gpu_training.scaled(config, 512))
    assert larger.latent_lr > config.latent_lr
    gpu_training.changed(larger, gpu_training.fitted(larger, 400, network=2.0, twin=1.0))


def test_rates_follow_the_batch(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path, weight_moments="sgd", weight_lr=0.1, step=0.2, latent_lr=1)
    found = gpu_training.scaled(config, 4 * config.batch_size)
    assert found == {"batch_size": 256, "latent_lr": 2.0, "weight_lr": 0.4, "step": 0.8}
    bop = gpu_training.changed(config, {"optimizer": "bop", "weights": "deterministic"})
    with pytest.raises(ConfigError, match="no rule"):
        gpu_training.scaled(bop, 512)


def test_a_recipe_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--recipe", str(tmp_path / "none.toml"), "--data", "digits", "--device", "cpu"]
    assert gpu_training.main([*arguments, "--out", str(tmp_path)]) == 1
    assert "none.toml" in capsys.readouterr().err
