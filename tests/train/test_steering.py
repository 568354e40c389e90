"""What a newcomer sees of training, and how it is steered."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from sbn_deploy import data, tasks
from sbn_deploy.data import Dataset
from sbn_deploy.data.dataset import eight_bit
from sbn_deploy.export import export_checkpoint
from sbn_deploy.tasks.metrics import balanced_accuracy
from sbn_deploy.train import checkpoint, seeds, trainer
from sbn_deploy.train.choose import choose
from sbn_deploy.train.kept import LAST, best_epoch
from sbn_deploy.train.loop import CHECKPOINT, METRICS, TrainConfig, train
from sbn_deploy.train.plan import duration
from sbn_deploy.train.range_test import HIGHEST, LOWEST, Row, range_test, steepest
from sbn_deploy.train.trainer import Stopped, Trainer
from sbn_runtime.errors import ConfigError

from ..command import sbn
from ..photos import write_photos

NETWORKS = Path(__file__).parents[1] / "tasks" / "task_data.py"
SMALL: dict[str, Any] = {"arch": "digits-cnn", "model": {"width": 2}, "members": 1}


def small(folder: Path, **settings: Any) -> TrainConfig:
    return TrainConfig(out=folder, **(SMALL | {"epochs": 1} | settings))


# before it starts


def test_what_is_said_before_training(tmp_path: Path) -> None:
    spec = f"folder:{write_photos(tmp_path / 'fruit', 12)}"
    (tmp_path / "fruit" / "apple" / "a.txt").write_text("")
    for index in range(12, 24):
        source = tmp_path / "fruit" / "pear" / "000.png"
        source.with_stem(f"{index:03}").write_bytes(source.read_bytes())
    settings = {"data": spec, "size": 8, "validation": True, "batch_size": 10, "members": 1}
    said: list[str] = []
    first = train(TrainConfig(out=tmp_path / "a", epochs=2, **settings), report=said.append)
    silent = train(TrainConfig(out=tmp_path / "b", epochs=2, **settings))
    assert first.checkpoint_path.read_bytes() == silent.checkpoint_path.read_bytes()
    text = "\n".join(said)
    assert "training: 36 images of folder:fruit in 3 classes: apple 9, pear 18, plum 9" in text
    assert "validation: 4 images of folder:fruit in 3 classes: apple 1, pear 2, plum 1" in text
    assert "test: 8 images of folder:fruit in 3 classes: apple 2, pear 4, plum 2" in text
    assert (
        "split: each 5th image of a class for testing; each 10th of a class of those to train on"
        " for validation\n"
    ) in text
    assert "fruit: 1 file is not read: 1 .txt" in text
    assert "images: 8x8 pixels (height x width), RGB; others are fitted by crop" in text
    assert "network: digits-cnn, chosen by the inputs (--arch names another): " in text
    assert "steps: 3 an epoch, of 10 images each; 2 epochs to go" in text
    assert "the last 6 images of each epoch are left out" in text
    assert "expected: about" in text
    assert "class sizes are uneven, 9 to 18: look at the balanced accuracy" in text
    assert "best epoch: " in text
    assert "scoring on 8 test images" in text


def test_durations() -> None:
    said = [duration(seconds) for seconds in (0.1, 80, 120, 3 * 3600, 5 * 86400)]
    assert said == ["about 1 s", "about 80 s", "about 2 min", "about 3.0 h", "about 5.0 days"]


def images(height: int, width: int) -> Dataset:
    return eight_bit("set", np.zeros((2, height, width, 3), np.uint8), np.array([0, 1]), "ab")


@pytest.mark.parametrize(
    ("size", "network"),
    [
        ((8, 8), "digits-cnn"),
        ((16, 5), "digits-cnn"),
        ((32, 32), "quicknet-tiny"),
        ((64, 48), "quicknet-tiny"),
        ((96, 96), "quicknet-small"),
        ((224, 160), "quicknet-small"),
    ],
)
def test_networks_are_chosen_by_size(size: tuple[int, int], network: str) -> None:
    assert choose(images(*size)) == network


@pytest.mark.parametrize(
    ("size", "near"), [((30, 30), "32x32"), ((100, 200), "96x192"), ((3, 20), "8x16")]
)
def test_sizes_without_a_network_are_told_the_next(size: tuple[int, int], near: str) -> None:
    with pytest.raises(ConfigError, match=rf"as --size {near}, or name a network with --arch"):
        choose(images(*size))


def test_the_network_of_other_inputs() -> None:
    assert choose(data.load("signals", "test")) == "signals-cnn"


def test_the_network_of_the_start_is_taken_with_its_settings(tmp_path: Path) -> None:
    first = train(small(tmp_path / "a", model={"width": 3, "last": "real"}))
    again = train(TrainConfig(out=tmp_path / "b", start_from=first.checkpoint_path, epochs=1))
    assert again.metrics["arch"] == "digits-cnn"
    said = again.metrics["recipe"]["model"]
    assert (said["width"], said["last"], said["first"]) == (3, "real", "binary")
    assert "size" not in said


# best and last


def test_the_best_epoch_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.3, 0.7, 0.5, 0.7, float("nan"), 0.1])
    monkeypatch.setattr(Trainer, "_validate", lambda *_: {"accuracy": next(scores)})
    config = small(tmp_path, epochs=9, validation=True, patience=3)
    result = train(config)
    # The second is the best, the first of equals, and three do not beat it.
    assert len(result.metrics["history"]) == 5
    assert (result.metrics["best_epoch"], result.metrics["validation_accuracy"]) == (2, 0.7)
    assert {path.name for path in tmp_path.iterdir()} == {
        CHECKPOINT, METRICS, LAST, "history.csv",
    }  # fmt: skip
    monkeypatch.undo()
    of_two = train(small(tmp_path / "two", epochs=2, schedule="constant", validation=True))
    assert of_two.checkpoint_path.exists()
    last, best = (checkpoint.load(tmp_path / name)[0].state_dict() for name in (LAST, CHECKPOINT))
    assert any(not torch.equal(last[name], best[name]) for name in last)


def test_best_epochs() -> None:
    metric = tasks.find("regression").main
    assert metric.better == "lower"
    history = [{f"validation_{metric.key}": score} for score in (3.0, 1.0, 1.0, 2.0)]
    assert [best_epoch(history[:n], metric) for n in range(5)] == [0, 1, 2, 2, 2]


def test_patience_needs_validation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patience needs validation"):
        small(tmp_path, patience=1)


# uneven classes


def test_balanced_accuracy_is_the_mean_recall() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 200))
    found = balanced_accuracy(predicted, truth)
    assert found == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert balanced_accuracy(np.array([2, 2]), np.array([2, 0])) == 0.5


def test_class_weights(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], [90, 10])
    uneven = eight_bit("set", np.zeros((100, 8, 8, 1), np.uint8), labels, ("a", "b"))
    weights = trainer._class_weights(uneven, torch.device("cpu"))
    assert weights.tolist() == pytest.approx([100 / 180, 5.0])
    config = small(tmp_path, class_weights=True, validation=True)
    assert trainer.choosing_metric(tasks.find("classification"), config).key == "balanced_accuracy"
    found = train(config).metrics
    assert "validation_balanced_accuracy" in found
    assert {"accuracy", "balanced_accuracy", "nll"} == found["metrics"]["thresholded"].keys()
    np.savez(tmp_path / "numbers.npz", x=np.ones((200, 12)), y=np.arange(200) / 7)
    numbers = TrainConfig(
        out=tmp_path / "n", data=f"npz:{tmp_path / 'numbers.npz'}", class_weights=True,
        arch=f"{NETWORKS}:dense",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="class_weights is for classes, but the task is regr"):
        train(numbers)


# runs that are there already


def test_a_run_is_not_replaced_unless_told(tmp_path: Path) -> None:
    config = small(tmp_path)
    train(config)
    with pytest.raises(ConfigError, match="contains a trained network; choose another folder, or"):
        train(config)
    with pytest.raises(ConfigError) as caught:
        train(small(tmp_path, epochs=5), resume=True)
    assert "holds a finished run with epochs = 1, not 5; to train on from its weights:" in str(
        caught.value
    )
    assert f"sbn train --from {tmp_path / CHECKPOINT} --out DIR" in str(caught.value)
    said: list[str] = []
    train(config, resume=True, report=said.append)
    assert said == [f"{tmp_path} holds a finished run; nothing is left to train"]
    before = (tmp_path / CHECKPOINT).read_bytes()
    train(small(tmp_path, seed=1), overwrite=True)
    assert (tmp_path / CHECKPOINT).read_bytes() != before


def interrupted(folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Sends a signal after so many steps, by which `sbn train` stops."""
    step = Trainer._step
    taken: list[int] = []

    def counted(self: Trainer, *arguments: Any) -> tuple[float, float]:
        taken.append(1)
        if len(taken) == steps:
            os.kill(os.getpid(), number)
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", counted)
        with pytest.raises(Stopped) as caught:
            train(small(folder, epochs=3))
    assert caught.value.signal == number
    assert str(caught.value).endswith(f"; resume with: sbn train --resume --out {folder}")


def test_ctrl_c_says_how_to_go_on_and_leaves_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path / "run", 30, monkeypatch, signal.SIGINT)
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    model = tmp_path / "unfinished.onnx"
    export_checkpoint(tmp_path / "run" / LAST, model)
    assert model.exists()
    with pytest.raises(ConfigError, match="contains an unfinished run; add --resume, or --overwr"):
        train(small(tmp_path / "run", epochs=3))
    resumed = train(TrainConfig(out=tmp_path / "run"), resume=True)
    whole = train(small(tmp_path / "whole", epochs=3))
    assert resumed.checkpoint_path.read_bytes() == whole.checkpoint_path.read_bytes()


def test_ctrl_c_twice_ends_it() -> None:
    with trainer._until_terminated() as event:
        os.kill(os.getpid(), signal.SIGINT)
        assert event.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# learning rates


def test_the_steepest_fall_before_the_least_loss() -> None:
    losses = (2.0, 1.9, 1.2, 0.6, 0.5, 0.9, 0.1)
    rows = [Row(10.0**index, loss) for index, loss in enumerate(losses)]
    assert steepest(rows[:6]) == 100.0
    assert steepest(rows[:2]) in (1.0, 10.0)


def test_range_test(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    config = small(tmp_path / "none", data="digits", model={"width": 4})
    found = range_test(config)
    assert torch.equal(torch.get_rng_state(), before)
    assert not (tmp_path / "none").exists()
    factors = [row.factor for row in found.rows]
    assert factors[0] == pytest.approx(LOWEST)
    assert factors == sorted(factors)
    assert factors[-1] <= HIGHEST * 1.001
    assert found.factor in factors
    assert found.suggested["step"] == pytest.approx(0.01 * found.factor)
    assert len(found.shown()) <= 12
    assert found.shown()[-1] == found.rows[-1]


# several seeds


def test_means_over_seeds(tmp_path: Path) -> None:
    said: list[str] = []
    found = seeds.train_seeds(small(tmp_path), (3, 5), report=said.append)
    runs = [json.loads((tmp_path / f"seed-{seed}" / METRICS).read_text()) for seed in (3, 5)]
    assert [run["seed"] for run in runs] == [3, 5]
    (accuracy,) = [s for s in found if (s.weights, s.metric) == ("thresholded", "accuracy")]
    values = [run["metrics"]["thresholded"]["accuracy"] for run in runs]
    assert accuracy.values == tuple(values)
    assert accuracy.mean == pytest.approx(np.mean(values))
    # Of two values Student's quantile is 12.706.
    assert accuracy.half_width == pytest.approx(12.7062 * abs(values[0] - values[1]) / 2, rel=1e-4)
    assert seeds.half_width([0.5]) is None
    written = json.loads((tmp_path / seeds.SEEDS).read_text())
    assert written["seeds"] == [3, 5]
    assert len(written["scores"]) == len(found) == 9
    assert sum(line.startswith("training: ") for line in said) == 1
    begun = [line for line in said if line.startswith("seed ")]
    assert begun == ["seed 3, 1 of 2", "seed 5, 2 of 2"]


def test_seeds_on_the_command_line(tmp_path: Path) -> None:
    arguments = ("train", "--arch", "digits-cnn", "--epochs", "1", "--set", "model.width=2")
    outcome = sbn(*arguments, "--set", "members=1", "--seeds", "1", "--out", tmp_path)
    assert outcome.status == 0
    header, first, *_ = outcome.stdout.splitlines()
    assert header.split() == [
        "weights",
        "test",
        "metric",
        "mean",
        "±",
        "95",
        "%",
        "least",
        "largest",
    ]
    assert first.split()[:2] == ["thresholded", "accuracy"]
    assert first.split()[3] == "-"
    both = sbn(*arguments, "--seed", "1", "--seeds", "1", "--out", tmp_path).refused()
    assert "--seed and --seeds exclude each other" in both


# the command


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = ("--arch", "digits-cnn", "--set", "model.width=2", "--set", "members=1")
    outcome = sbn("train", "--out", out, "--epochs", "1", *settings)
    assert outcome.status == 0
    assert "training: 1,437 images of digits in 10 classes: 0 1" in outcome.stderr
    assert "validation images are trained on as well" in outcome.stderr
    assert "balanced accuracy" in outcome.stdout
    held_out = sbn("train", "--out", tmp_path / "other", "--epochs", "1", "--calibrate", *settings)
    assert "validation images are left for calibration" in held_out.stderr
    message = sbn("train", "--out", out, *settings).refused()
    assert "contains a trained network; choose another folder, or add --overwrite" in message
    assert sbn("train", "--out", out, "--epochs", "1", "--overwrite", *settings).status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epoch=3"], "unknown setting 'epoch'; did you mean epochs?"),
        (["--set", "optimizer=miror"], "setting optimizer is 'miror'; did you mean mirror?;"),
        (["--arch", "digit-cnn"], "unknown network 'digit-cnn'; did you mean digits-cnn?"),
        (
            ["--arch", "digits-cnn", "--set", "model.widht=3"],
            "digits-cnn has no setting widht; did you mean width?; it has channels",
        ),
        (
            ["--fit", "strech"],
            "invalid choice: 'strech' (choose from 'crop', 'pad', 'stretch'); did",
        ),
        (["--size", "9x9x9"], "'9x9x9' is not a size such as 96 or 96x128"),
        (["--size", "0"], "'0' must be a whole number of at least 1"),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert message in sbn("train", "--out", tmp_path, *arguments).refused()
