"""Training learns, repeats itself exactly, and says what is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sbn_deploy import data
from sbn_deploy.commands import train as verb
from sbn_deploy.data.digests import digests
from sbn_deploy.export.from_checkpoint import Materialized, materialize_checkpoint
from sbn_deploy.materialize import Form
from sbn_deploy.train import checkpoint, curves, state
from sbn_deploy.train.diagnose import bad_gradient
from sbn_deploy.train.logs import HISTORY
from sbn_deploy.train.loop import CHECKPOINT, METRICS, TrainConfig, train
from sbn_runtime.errors import (
    ArtifactError,
    ConfigError,
    InputError,
    MissingDependencyError,
    OutputError,
)

from ..sampled import few


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network trained for a few epochs."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train(TrainConfig(out=folder, epochs=12))
    return folder


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    return parser.parse_args(["train", *arguments])


def test_a_few_epochs_learn(run: Path) -> None:
    metrics = json.loads((run / METRICS).read_text())
    losses = [epoch["loss"] for epoch in metrics["history"]]
    assert losses[-1] < losses[0] / 3
    assert metrics["metrics"]["thresholded"]["accuracy"] > 0.85
    assert metrics["metrics"]["ensemble"]["accuracy"] > 0.85


def test_checkpoint_metrics_and_history_are_written(run: Path) -> None:
    assert {file.name for file in run.iterdir()} == {CHECKPOINT, METRICS, HISTORY}
    lines = (run / HISTORY).read_text().splitlines()
    assert lines[0].startswith("epoch,loss,accuracy")
    assert len(lines) == 13


def test_curves_of_a_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / HISTORY).write_text((run / HISTORY).read_text())
    picture = curves.draw(tmp_path)
    with Image.open(picture) as image:
        assert image.size[0] > image.size[1] > 100
    with pytest.raises(ConfigError, match="cannot read"):
        curves.draw(tmp_path / "nothing")


def test_checkpoint_gives_the_reported_accuracy(run: Path) -> None:
    _, meta = checkpoint.load(run / CHECKPOINT)
    scores = meta.metrics
    threshold = materialize_checkpoint(run / CHECKPOINT)
    assert threshold.test_accuracy == scores["thresholded"]["accuracy"]
    ensemble = materialize_checkpoint(
        run / CHECKPOINT, Form("sample", scores["ensemble"]["members"], meta.seed)
    )
    assert ensemble.test_accuracy == scores["ensemble"]["accuracy"]
    assert threshold.recorded_scores == scores["thresholded"]
    found = {key: value for key, value in scores["ensemble"].items() if key != "members"}
    assert ensemble.recorded_scores == found


def elsewhere(made: Materialized, data: str = "elsewhere") -> Materialized:
    """The same networks, of a checkpoint of other data, by default of some that is not here."""
    return replace(made, meta=replace(made.meta, data=data))


def test_accuracy_without_the_data_is_the_recorded_one(run: Path) -> None:
    threshold = elsewhere(materialize_checkpoint(run / CHECKPOINT))
    assert threshold.test_accuracy == threshold.meta.metrics["thresholded"]["accuracy"]
    other = elsewhere(materialize_checkpoint(run / CHECKPOINT, Form("sample", 2, 9)))
    assert other.test_accuracy is None


def test_data_of_this_name_that_is_another(run: Path) -> None:
    made = elsewhere(materialize_checkpoint(run / CHECKPOINT), "signals")
    with pytest.raises(
        ArtifactError, match=r"signals has inputs of \[1, 128\], but .* \[1, 8, 8\]"
    ):
        made.sample_inputs(7, seed=0)


def test_inputs_of_a_materialised_checkpoint(run: Path) -> None:
    made = materialize_checkpoint(run / CHECKPOINT)
    assert made.example.shape == (2, 1, 8, 8)
    images, what = made.sample_inputs(7, seed=0)
    assert images.shape == (7, 1, 8, 8)
    assert "digits" in what
    images, what = elsewhere(made).sample_inputs(7, seed=0)
    assert images.shape == (7, 1, 8, 8)
    assert "random" in what


def test_training_repeats_bit_for_bit(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    settings: dict[str, Any] = {"epochs": 1, "members": 2, "model": {"width": 16}}
    files = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        config = TrainConfig(out=tmp_path / name, seed=seed, **settings)
        files.append(train(config).checkpoint_path.read_bytes())
        torch.rand(3)
        torch.random.set_rng_state(state)
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_verb_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.run(options("--out", str(tmp_path), "--epochs", "1")) == 0
    captured = capsys.readouterr()
    assert "thresholded" in captured.out
    assert "ensemble" in captured.out
    assert "1/1" in captured.err


def test_verb_trains_the_twin_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--out", str(tmp_path), "--epochs", "2", "--twin", "--seed", "5", "--json")
    assert verb.run(options(*arguments)) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["kind"] == "fp32"
    assert result["seed"] == 5
    assert result["metrics"]["fp32"]["accuracy"] > 0.8
    model, _ = checkpoint.load(result["checkpoint"])
    assert model.kind == "fp32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "vgg"], "unknown network 'vgg'"),
        (["--data", "mnist"], "unknown data set 'mnist'"),
    ],
)
def test_verb_refuses_unknown_names(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        verb.run(options("--out", str(tmp_path / "out"), *arguments))
    assert not (tmp_path / "out").exists()


def test_verb_refuses_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose a writable folder"):
        verb.run(options("--out", str(tmp_path / "file" / "runs")))


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--seed", "-1"], ["--epochs", "many"]])
def test_verb_refuses_numbers_out_of_range(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        options("--out", str(tmp_path), *arguments)
    assert exit_.value.code == 2


def test_verb_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="--out DIR"):
        verb.run(options("--epochs", "1"))


@pytest.mark.parametrize(
    "setting",
    [{"epochs": 0}, {"seed": -1}, {"batch_size": 1}, {"step": 0.0}, {"latent_lr": float("nan")}],
)
def test_config_refuses_numbers_out_of_range(tmp_path: Path, setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        TrainConfig(out=tmp_path, **setting)  # type: ignore[arg-type]


def test_batches_larger_than_the_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 5000, .* as --set batch_size=256"):
        train(TrainConfig(out=tmp_path, batch_size=5000))


def test_divergence_is_an_error_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss is (nan|inf) in step 2 of epoch 1, .* head\.norm"):
        train(TrainConfig(out=tmp_path, epochs=1, step=3e37))
    assert list(tmp_path.iterdir()) == []


def test_gradients_that_are_not_finite_name_their_layer() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    model(torch.ones(1, 3)).sum().backward()
    assert bad_gradient(model) is None
    model[0].weight.grad[1, 1] = float("nan")
    assert bad_gradient(model) == "0"
    model[1].bias.grad[0] = float("inf")
    assert bad_gradient(model) == "1"


def test_too_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nearly_full(_: object) -> SimpleNamespace:
        return SimpleNamespace(free=1000)

    monkeypatch.setattr("shutil.disk_usage", nearly_full)
    with pytest.raises(ConfigError, match=r"0\.0 MB left, and training needs [45]\.\d MB"):
        train(TrainConfig(out=tmp_path, epochs=1))


def test_disk_that_fills_up_keeps_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(out=tmp_path, epochs=2, model={"width": 4})
    save, calls = state.save, []

    def full(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            monkeypatch.setattr("os.replace", Mock(side_effect=OSError(28, "No space left")))
        save(*arguments)

    monkeypatch.setattr(state, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        train(config)
    assert state.Saved(tmp_path / state.STATE).position.epoch == 1


def test_settings_of_the_data_cannot_be_contradicted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.classes is 7, but digits has 10"):
        train(TrainConfig(out=tmp_path, model={"classes": 7}))
    with pytest.raises(ConfigError, match="no setting depth"):
        train(TrainConfig(out=tmp_path, model={"depth": 7}))


@pytest.mark.parametrize(
    "settings",
    few(
        [
            {
                "optimizer": "projected",
                "latent_lr": 0.3,
                "model": {"weight_noise": "uniform", "init_std": 0.5},
            },
            {"optimizer": "bop", "weights": "deterministic", "latent_lr": 1e-3},
            {"moments": "sgd", "latent_lr": 300.0, "latent_decay": 1e-5},
            {"model": {"surrogate": "approx-sign"}, "weights": "deterministic"},
            {"model": {"first": "real", "last": "real"}, "deterministic_epochs": 2},
            {
                "model": {"local_reparametrization": True, "weight_gradient": "proxy"},
                "latent_lr": 0.2,
            },
            {
                "gradient_accumulation": 2,
                "ema": 0.9,
                "label_smoothing": 0.1,
                "batchnorm_images": 300,
            },
            {"precision": "bfloat16", "channels_last": True, "batchnorm_images": 300, "warmup": 1},
            {"schedule": "step", "milestones": (4,), "activations": "mean"},
        ],
        2,
    ),
)
def test_every_way_to_train_learns(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings = {"epochs": 5, **settings}
    settings["model"] = {"width": 16, **settings.get("model", {})}
    result = train(TrainConfig(out=tmp_path, members=2, **settings))
    # Chance is 10 %.
    assert result.metrics["metrics"]["thresholded"]["accuracy"] > 0.3
    threshold = materialize_checkpoint(result.checkpoint_path)
    assert threshold.test_accuracy == result.metrics["metrics"]["thresholded"]["accuracy"]


def test_validation_images_are_scored_and_left_out(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path, epochs=2, validation=True, model={"width": 4}, ema=0.5)
    history = train(config).metrics["history"]
    assert all(0 <= record["validation_accuracy"] <= 1 for record in history)
    assert [record["epoch"] for record in history] == [1, 2]


@pytest.mark.parametrize(
    ("settings", "split"),
    [({}, "train+validation"), ({"validation": True}, "train"), ({"calibrate": True}, "train")],
)
def test_what_was_trained_on_is_known(
    tmp_path: Path, settings: dict[str, Any], split: data.Split
) -> None:
    train(TrainConfig(out=tmp_path, epochs=1, model={"width": 4}, members=1, **settings))
    _, header, kept = checkpoint.load_all(tmp_path / CHECKPOINT)
    assert header.split == split
    expected = digests(data.load("digits", split).images)
    np.testing.assert_array_equal(kept.digests, expected)


def test_too_few_images_to_calibrate_on_are_said_before_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archive = tmp_path / "few.npz"
    images = rng.integers(0, 256, (900, 8, 8)).astype(np.uint8)
    np.savez(archive, images=images, labels=np.arange(900) % 2)
    config = TrainConfig(out=tmp_path, data=f"npz:{archive}", calibrate=True, model={"width": 4})
    with pytest.raises(InputError, match="has 72 inputs to calibrate on; at least 100 are needed"):
        train(config)
    assert not (tmp_path / CHECKPOINT).exists()


def test_tensorboard_is_asked_for_but_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match="pip install tensorboard"):
        train(TrainConfig(out=tmp_path, tensorboard=True))


@pytest.mark.parametrize(
    ("test_images", "test_labels", "message"),
    [
        (
            np.zeros((10, 8, 8, 4)),
            np.arange(10),
            "has images of 4 channels; size and",
        ),
        (np.zeros((10, 8, 8)), np.arange(1, 11), "image 9 has label 10; with 10 classes"),
    ],
)
def test_a_test_part_that_does_not_fit_is_refused_before_training(
    tmp_path: Path, test_images: NDArray[Any], test_labels: NDArray[Any], message: str
) -> None:
    np.savez(
        tmp_path / "set.npz",
        images=np.zeros((100, 8, 8), np.uint8),
        labels=np.arange(100) % 10,
        test_images=test_images.astype(np.uint8),
        test_labels=test_labels,
    )
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=message):
        train(TrainConfig(out=out, data=f"npz:{tmp_path / 'set.npz'}", model={"width": 4}))
    assert not (out / HISTORY).exists()


def test_a_shift_larger_than_the_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shift is 9, but the images of digits have 8 pixels"):
        train(TrainConfig(out=tmp_path, shift=9, model={"width": 4}))
