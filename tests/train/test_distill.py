"""Teachers, and running means of parameters."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from sbn_deploy import data, tasks
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distill import Loss, load_teacher
from sbn_deploy.train.ema import Ema
from sbn_deploy.train.head import Head
from sbn_deploy.train.loop import train
from sbn_runtime.errors import ArtifactError, ConfigError, MissingDependencyError
from tests.checkpoints import META

CPU = torch.device("cpu")

HEAD = Head(tasks.find("classification"))


def test_loss_is_the_weighted_sum(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = nn.Linear(6, 4)
    x, logits, labels = torch.randn(5, 6), torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    config = TrainConfig(
        out=tmp_path, teacher_weight=0.3, teacher_temperature=4.0, label_smoothing=0.2
    )
    wanted = (teacher(x) / 4).softmax(1)
    divergence = (wanted * (wanted.log() - (logits / 4).log_softmax(1))).sum(1).mean()
    hard = F.cross_entropy(logits, labels, label_smoothing=0.2)
    torch.testing.assert_close(
        Loss(config, teacher, HEAD)(logits, x, labels), 0.7 * hard + 0.3 * 16 * divergence
    )
    torch.testing.assert_close(Loss(config, None, HEAD)(logits, x, labels), hard)


@pytest.mark.long
def test_a_student_learns_from_a_checkpoint_and_from_a_state_dict(tmp_path: Path) -> None:
    twin = train(TrainConfig(out=tmp_path / "twin", twin=True, epochs=4, model={"width": 8}))
    model, _ = checkpoint.load(twin.checkpoint_path)
    bare = tmp_path / "bare.safetensors"
    wide = models.create_twin("digits-cnn")
    save_file(wide.state_dict(), bare)
    student = TrainConfig(
        out=tmp_path / "student",
        teacher=twin.checkpoint_path,
        teacher_weight=1.0,
        epochs=4,
        members=1,
        model={"width": 16},
    )
    result = train(student)
    assert result.metrics["metrics"]["thresholded"]["accuracy"] > 0.3
    digits = data.load("digits", "test")
    x = torch.from_numpy(digits.inputs())
    loaded = load_teacher(student, digits, CPU)
    assert torch.equal(loaded(x), model(x))
    config = TrainConfig(out=tmp_path, teacher=bare, teacher_arch="digits-cnn")
    assert torch.equal(load_teacher(config, digits, CPU)(x), wide.eval()(x))


def test_teachers_that_do_not_fit(tmp_path: Path) -> None:
    digits = data.load("digits", "test")

    def load(path: Path, arch: str = "") -> None:
        load_teacher(TrainConfig(out=tmp_path, teacher=path, teacher_arch=arch), digits, CPU)

    three = tmp_path / "three.safetensors"
    checkpoint.save(three, models.create_twin("digits-cnn", width=2, classes=3), META)
    with pytest.raises(ConfigError, match="has 3 classes, digits has 10"):
        load(three)
    colour = tmp_path / "colour.safetensors"
    checkpoint.save(colour, models.create_twin("digits-cnn", width=2, channels=3), META)
    with pytest.raises(ConfigError, match="does not take digits"):
        load(colour)
    with pytest.raises(ArtifactError, match="cannot read"):
        load(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="cannot read"):
        load(tmp_path / "nothing", "digits-cnn")
    with pytest.raises(ArtifactError, match="does not match DigitsCnn"):
        load(three, "digits-cnn")
    (tmp_path / "text").write_text("weights")
    with pytest.raises(ArtifactError, match="damaged"):
        load(tmp_path / "text", "digits-cnn")


def test_torchvision_is_asked_for_but_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    config = TrainConfig(
        out=tmp_path, teacher=tmp_path / "x.safetensors", teacher_arch="torchvision:resnet18"
    )
    with pytest.raises(MissingDependencyError, match="pip install torchvision"):
        load_teacher(config, data.load("digits", "test"), CPU)


def test_running_mean_of_parameters() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        ema = Ema(layer, 0.75)
        layer.weight.fill_(5.0)
        ema.update()
        with ema.applied():
            assert layer.weight.item() == 2.0
        assert layer.weight.item() == 5.0
        ema.update()
        ema.swap()
    assert layer.weight.item() == 2.75
