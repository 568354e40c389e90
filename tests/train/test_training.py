"""Training learns, repeats itself exactly, and says what is wrong."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from sbn_deploy.commands import train as verb
from sbn_deploy.materialize import materialize_checkpoint
from sbn_deploy.train import checkpoint
from sbn_deploy.train.augment import random_shift
from sbn_deploy.train.loop import CHECKPOINT, METRICS, TrainConfig, train
from sbn_runtime.errors import ConfigError


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
    assert metrics["metrics"]["thresholded"]["accuracy"] > 0.9
    assert metrics["metrics"]["ensemble"]["accuracy"] > 0.9


def test_only_checkpoint_and_metrics_are_written(run: Path) -> None:
    assert {file.name for file in run.iterdir()} == {CHECKPOINT, METRICS}


def test_checkpoint_gives_the_reported_accuracy(run: Path) -> None:
    _, meta = checkpoint.load(run / CHECKPOINT)
    scores = meta["metrics"]
    threshold = materialize_checkpoint(run / CHECKPOINT)
    assert threshold.test_accuracy == scores["thresholded"]["accuracy"]
    ensemble = materialize_checkpoint(
        run / CHECKPOINT, weights="sample", members=scores["ensemble"]["members"], seed=meta["seed"]
    )
    assert ensemble.test_accuracy == scores["ensemble"]["accuracy"]


def test_inputs_of_a_materialised_checkpoint(run: Path) -> None:
    made = materialize_checkpoint(run / CHECKPOINT)
    assert made.example.shape == (2, 1, 8, 8)
    images, what = made.sample_inputs(7, seed=0)
    assert images.shape == (7, 1, 8, 8)
    assert "digits" in what
    made.meta["data"] = "elsewhere"
    images, what = made.sample_inputs(7, seed=0)
    assert images.shape == (7, 1, 8, 8)
    assert "random" in what


def test_training_repeats_bit_for_bit(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    files = []
    for name in ("a", "b"):
        files.append(train(TrainConfig(out=tmp_path / name, epochs=1, seed=7)).checkpoint_path)
        torch.rand(3)
        torch.random.set_rng_state(state)
    assert files[0].read_bytes() == files[1].read_bytes()
    other = train(TrainConfig(out=tmp_path / "c", epochs=1, seed=8)).checkpoint_path
    assert other.read_bytes() != files[0].read_bytes()
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
        (["--arch", "vgg"], "unknown architecture 'vgg'"),
        (["--data", "mnist"], "unknown data set 'mnist'"),
    ],
)
def test_verb_refuses_unknown_names(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        verb.run(options("--out", str(tmp_path / "out"), *arguments))
    assert not (tmp_path / "out").exists()


def test_verb_refuses_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose a folder that can be written to"):
        verb.run(options("--out", str(tmp_path / "file" / "runs")))


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--seed", "-1"], ["--epochs", "many"]])
def test_verb_refuses_numbers_out_of_range(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        options("--out", str(tmp_path), *arguments)
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    "setting",
    [{"epochs": 0}, {"seed": -1}, {"batch_size": 1}, {"step": 0.0}, {"latent_step": float("nan")}],
)
def test_config_refuses_numbers_out_of_range(tmp_path: Path, setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        TrainConfig(out=tmp_path, **setting)  # type: ignore[arg-type]


def test_batches_larger_than_the_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size is 5000"):
        train(TrainConfig(out=tmp_path, batch_size=5000))


def test_divergence_is_an_error_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss is (nan|inf) in epoch 1"):
        train(TrainConfig(out=tmp_path, epochs=1, step=3e37))
    assert list(tmp_path.iterdir()) == []


def test_random_shift_moves_images_over_their_background() -> None:
    torch.manual_seed(0)
    images = torch.zeros(200, 2, 5, 6)
    images[:, 0, 2, 3] = 1.0
    images[:, 1, 2, 3] = 2.0
    background = torch.tensor([-1.0, 3.0])
    shifted = random_shift(images, 1, background)
    assert shifted.shape == images.shape
    found = (shifted[:, 0] == 1).nonzero()
    assert torch.equal(found[:, 0], torch.arange(200))
    offsets = {tuple(row) for row in (found[:, 1:] - torch.tensor([2, 3])).tolist()}
    assert offsets == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    assert torch.equal(shifted[:, 0] == 1, shifted[:, 1] == 2)
    for image, (_, row, _) in zip(shifted, found.tolist(), strict=True):
        if row == 3:  # moved down: the first row is uncovered
            assert (image[0, 0] == -1).all()
            assert (image[1, 0] == 3).all()
    assert random_shift(images, 0, background) is images
