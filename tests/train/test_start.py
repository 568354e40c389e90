"""Training that starts from a checkpoint, and learns from its network."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sbn_deploy import data
from sbn_deploy.nn import BinaryLayer, binarize, models
from sbn_deploy.nn.estimator import sign
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig, load
from sbn_deploy.train.distill import load_teacher
from sbn_deploy.train.loop import train
from sbn_deploy.train.start import start_from
from sbn_deploy.train.trainer import Stopped, Trainer
from sbn_runtime.errors import ArtifactError, ConfigError
from tests.checkpoints import META
from tests.nn.float_networks import ResNet, Sequences, Vgg, signals

CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "digits-cnn": {"width": 4},
    "cifar-vgg-s": {"width": 4, "size": 8},
    "birealnet18": {"width": 4, "size": 32, "classes": 3, "first": "binary"},
    "quicknet-small": {"size": 32, "classes": 3, "widths": [4, 8], "blocks": [1, 1]},
    "mlp": {"width": 8, "depth": 2},
    "sounds-cnn": {"width": 4, "size": [8, 16], "first": "real"},
    "signals-cnn": {"width": 4, "length": 16, "last": "real"},
}


def shaken(model: nn.Module) -> nn.Module:
    """The model with other numbers than those of an initialisation."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return model


def save_twin(path: Path, arch: str, **config: Any) -> nn.Module:
    """A checkpoint of a float twin."""
    twin = models.create_twin(arch, **config)
    shaken(twin)
    checkpoint.save(path, twin, META)
    return twin


@pytest.mark.parametrize("arch", SMALL)
def test_a_network_starts_from_its_twin(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "twin.safetensors"
    twin = save_twin(path, arch, **SMALL[arch]).state_dict()
    model = models.create(arch, **SMALL[arch], init_std=0.5)
    start_from(model, path)
    binary = {f"{n}.latent": m for n, m in model.named_modules() if isinstance(m, BinaryLayer)}
    assert binary
    floats = list(twin.values())
    own = model.state_dict()
    # Twins have the same tensors in the same order, whatever their names.
    assert len(own) == len(floats)
    for (name, tensor), source in zip(own.items(), floats, strict=True):
        if name in binary:
            assert torch.equal(sign(tensor), sign(source))
            torch.testing.assert_close(tensor.square().mean().sqrt(), torch.tensor(0.5))
        else:
            assert torch.equal(tensor, source), name


def test_a_network_starts_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    first = models.create("digits-cnn", width=4)
    checkpoint.save(path, shaken(first), META)
    again = models.create("digits-cnn", width=4, surrogate="tanh")
    start_from(again, path)
    checkpoint.round_latents(first)
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name])


@pytest.mark.parametrize(
    "make",
    [ResNet, Vgg, lambda: Vgg(norms=False), signals, Sequences],
    ids=["resnet", "vgg", "vgg without norms", "signals", "sequences"],
)
def test_a_binarized_network_starts_from_the_float_one(make: Any, tmp_path: Path) -> None:
    """As `binarize` does itself, from a file with the wrappings of a training script."""
    torch.manual_seed(0)
    trained, fresh = make(), make()
    shaken(trained)
    path = tmp_path / "last.pt"
    state = {f"module.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)
    model = binarize(fresh).model
    start_from(model, path)
    expected = binarize(trained).model.state_dict()
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, expected[name]), name


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "twin.safetensors"
    twin = dict(save_twin(path, "digits-cnn", width=4).state_dict())
    with pytest.raises(ArtifactError, match=r"other shapes for stage1\.conv\.weight") as caught:
        start_from(models.create("digits-cnn", width=5), path)
    assert "\n" not in str(caught.value)
    twin.pop("stage2.norm.bias")
    twin["extra"] = torch.zeros(3)
    save_file(twin, path)
    with pytest.raises(ArtifactError, match=r"misses stage2\.norm\.bias and has besides extra"):
        start_from(models.create("digits-cnn", width=4), path)
    # A bias that the binary layer has no place for, and its batch-norm no knowledge of.
    twin.pop("extra")
    twin |= {"stage2.norm.bias": torch.zeros(4), "stage2.conv.bias": torch.zeros(4)}
    save_file(twin, path)
    with pytest.raises(ArtifactError, match=r"has besides stage2\.conv\.bias"):
        start_from(models.create("digits-cnn", width=4), path)
    twin.pop("stage2.conv.bias")
    twin["stage3.conv.weight"][0] = torch.nan
    save_file(twin, path)
    with pytest.raises(ArtifactError, match=r"stage3\.conv: some weights are NaN or infinite"):
        start_from(models.create("digits-cnn", width=4), path)
    with pytest.raises(ArtifactError, match="cannot read"):
        start_from(models.create("digits-cnn", width=4), tmp_path / "nothing.pt")


def test_training_starts_there_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "twin.safetensors"
    twin = save_twin(path, "digits-cnn", width=4)
    config = TrainConfig(
        out=tmp_path / "run",
        start_from=path,
        distill=True,
        epochs=1,
        members=1,
        latent_lr=1e-9,
        model={"width": 4},
    )
    result = train(config)
    assert result.metrics["recipe"]["start_from"] == str(path)
    model, _ = checkpoint.load(result.checkpoint_path)
    weight = twin.state_dict()["stage3.conv.weight"]
    assert torch.equal(sign(model.get_parameter("stage3.conv.latent")), sign(weight))


@pytest.mark.long
def test_a_stopped_run_needs_the_file_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "twin.safetensors"
    save_twin(path, "digits-cnn", width=4)
    config = TrainConfig(
        out=tmp_path / "run", start_from=path, epochs=2, members=1, model={"width": 4}
    )
    whole = train(config.model_copy(update={"out": tmp_path / "whole"})).checkpoint_path
    finish = Trainer._finish_epoch

    def stop(self: Trainer) -> dict[str, Any]:
        record = finish(self)
        os.kill(os.getpid(), signal.SIGTERM)
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_finish_epoch", stop)
        with pytest.raises(Stopped):
            train(config)
    path.unlink()
    assert train(config, resume=True).checkpoint_path.read_bytes() == whole.read_bytes()


def test_the_teacher_is_the_network_of_the_start(tmp_path: Path) -> None:
    digits = data.load("digits", "test")
    x = torch.from_numpy(digits.inputs()[:5])
    path = tmp_path / "twin.safetensors"
    twin = save_twin(path, "digits-cnn", width=6).eval()

    def answers(start: Path, **settings: Any) -> Tensor:
        config = TrainConfig(
            out=tmp_path, arch="digits-cnn", start_from=start, distill=True, **settings
        )
        teacher = load_teacher(config, digits, CPU)
        assert teacher is not None
        y: Tensor = teacher(x)
        return y

    assert torch.equal(answers(path, model={"width": 4}), twin(x))
    bare = tmp_path / "bare.pt"
    torch.save(twin.state_dict(), bare)
    # A state dict says nothing of its network: it is the twin of the one that is trained.
    assert torch.equal(answers(bare, model={"width": 6}), twin(x))
    with pytest.raises(ArtifactError, match="other shapes"):
        answers(bare, model={"width": 4})


OWN = """
from torch import nn
from sbn_deploy.nn import binarize

def build_float():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 10),
    )

def build():
    return binarize(build_float()).model
"""


def test_anyones_network_is_binarized_and_learns_from_its_float_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(OWN, encoding="utf-8")
    trained = train(TrainConfig(out=Path("float"), arch="net.py:build_float", epochs=3))
    assert trained.metrics["metrics"]["fp32"]["accuracy"] > 0.4
    model, _ = checkpoint.load(trained.checkpoint_path)
    torch.save(model.state_dict(), "float.pt")
    config = TrainConfig(
        out=Path("binary"),
        arch="net.py:build",
        start_from=Path("float.pt"),
        distill=True,
        teacher_arch="net.py:build_float",
        epochs=3,
        members=1,
    )
    result = train(config)
    assert result.metrics["metrics"]["thresholded"]["accuracy"] > 0.2
    binary, _ = checkpoint.load(result.checkpoint_path)
    assert sum(isinstance(module, BinaryLayer) for module in binary.modules()) == 2
    with pytest.raises(ConfigError, match=r"does not record .* teacher_arch"):
        train(config.model_copy(update={"teacher_arch": ""}), overwrite=True)


def test_settings_that_contradict_each_other(tmp_path: Path) -> None:
    def refuses(match: str, **settings: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            TrainConfig(out=tmp_path, **settings)

    refuses("distill needs start_from", distill=True)
    refuses("leave one of them out", distill=True, start_from="a", teacher="b")
    refuses("teacher_arch needs a teacher", start_from="a", teacher_arch="digits-cnn")
    assert load(None, ["start_from=a.pt", "distill=true"], out=tmp_path).taught_by == Path("a.pt")
