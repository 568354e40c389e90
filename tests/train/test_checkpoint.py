"""Checkpoints come back as they were, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sbn_deploy.networks.weights import load_into
from sbn_deploy.nn import models, storage
from sbn_deploy.nn.models import Network
from sbn_deploy.nn.storage import HEADER_KEY
from sbn_deploy.train import checkpoint
from sbn_runtime.errors import ArtifactError, OutputError
from tests.checkpoints import META


def small(*, twin: bool = False) -> Network:
    torch.manual_seed(0)
    make = models.create_twin if twin else models.create
    return make("digits-cnn", width=4)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, small(), META)
    return path


def with_header(path: Path, **changes: object) -> Path:
    """A copy of the file whose header differs."""
    header = storage.read_header(path)
    changed = path.with_name("changed.safetensors")
    save_file(load_file(path), changed, {HEADER_KEY: json.dumps(header | changes)})
    return changed


@pytest.mark.parametrize("twin", [False, True])
def test_checkpoint_round_trip(tmp_path: Path, twin: bool) -> None:
    model = small(twin=twin).eval()
    path = tmp_path / "new" / "checkpoint.safetensors"
    checkpoint.save(path, model, META)
    state = torch.random.get_rng_state()
    loaded, meta = checkpoint.load(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (meta.data, list(meta.classes), meta.seed) == (META["data"], META["classes"], 3)
    assert meta.preprocess.to_json() == META["preprocess"]
    assert (loaded.arch, loaded.kind, loaded.config) == (model.arch, model.kind, model.config)
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(loaded(x), model(x))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_latents_take_half_the_space_and_are_those_that_were_scored(tmp_path: Path) -> None:
    model = small()
    latents = [p for name, p in model.named_parameters() if name.endswith("latent")]
    with torch.no_grad():
        latents[0].view(-1)[:4] = torch.tensor([1e6, -1e6, 1e-12, -1e-12])
    before = [latent.detach().clone() for latent in latents]
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, model, META)
    assert all(torch.equal(a, b) for a, b in zip(latents, before, strict=True))  # training goes on
    written = {name: t for name, t in load_file(path).items() if name.endswith("latent")}
    assert {tensor.dtype for tensor in written.values()} == {torch.float16}
    loaded = checkpoint.load(path)[0].state_dict()
    checkpoint.round_latents(model)
    for name, tensor in model.state_dict().items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    for latent, exact in zip(latents, before, strict=True):
        assert latent.isfinite().all()
        # tanh is the mean of a weight under logistic noise.
        torch.testing.assert_close(latent.tanh(), exact.tanh(), atol=5e-4, rtol=0)


def test_digests_of_training_images(tmp_path: Path, saved: Path) -> None:
    assert checkpoint.load_all(saved)[2].digests is None
    found = np.array([3, 2**63 + 1], np.uint64)
    path = tmp_path / "with.safetensors"
    checkpoint.save(path, small(), META, digests=found)
    kept = checkpoint.load_all(path)[2].digests
    np.testing.assert_array_equal(kept, found)
    assert kept is not None
    assert kept.dtype == np.uint64
    # Who wants the weights only does not see them.
    load_into(small(), path)
    tensors = load_file(path)
    tensors[storage.DIGESTS] = tensors[storage.DIGESTS].float()
    save_file(tensors, path, {HEADER_KEY: json.dumps(storage.read_header(path))})
    with pytest.raises(ArtifactError, match="its digests of training images are damaged"):
        checkpoint.load(path)


def test_same_network_gives_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    checkpoint.save(again, small(), META)
    assert again.read_bytes() == saved.read_bytes()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read .*nothing"):
        checkpoint.load(tmp_path / "nothing")


def test_a_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.02, 0.5, 0.999])
def test_truncated_file(saved: Path, kept: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ArtifactError, match="damaged"):
        checkpoint.load(saved)


def test_other_files(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(ArtifactError, match="not a file of the format sbn-checkpoint"):
        checkpoint.load(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "format version 2"),
        ({"arch": "resnet-900"}, "unknown architecture 'resnet-900'"),
        ({"config": {"depth": 3}}, "no setting depth"),
        ({"config": {"width": 8}}, "does not fit its architecture"),
        ({"config": {"weight_noise": "pink"}}, "unknown noise 'pink'"),
        ({"config": None}, "broken header"),
        ({"kind": "fp16"}, "broken header: 'kind' is 'fp16'; it must be 'sbn' or 'fp32'"),
        ({"data": 5}, "'data' is 5; it must be a text"),
        ({"seed": True}, "'seed' is True; it must be a whole number"),
        ({"classes": ["a", 1]}, "it must contain strings"),
        ({"metrics": {"ensemble": {"accuracy": "high"}}}, "it must contain tables of numbers"),
        ({"preprocess": {"channels": 1}}, "'preprocess': preprocessing description is damaged"),
        ({"config": {"width": 1.5}}, "setting width is 1.5: input should be a valid integer"),
        ({"config": {"width": 10**7}}, "width is 10,000,000; it must be from 1 to 100,000"),
        ({"config": {"width": 5000}}, "it needs .* bytes or more"),
        ({"kind": "fp32", "config": {"width": 4}}, "does not fit its architecture"),
    ],
)
def test_other_architecture(saved: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        checkpoint.load(with_header(saved, **changes))


def test_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="No space left on device; free some, or choose"):
        checkpoint.save(saved, small(twin=True), {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose a writable folder"):
        checkpoint.save(tmp_path / "file" / "x.safetensors", small(), {})
