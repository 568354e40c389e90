"""Generated signals, and a network of them from data to a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sbn_deploy import data
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import BinaryConv1d
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.loop import train
from sbn_runtime.errors import ConfigError


def test_signals_are_always_the_same_and_split_evenly() -> None:
    parts = {split: data.load("signals", split) for split in ("train", "validation", "test")}
    both = data.load("signals", "train+validation")
    assert [len(part) for part in parts.values()] == [2160, 240, 600]
    assert len(both) == 2400
    for part in parts.values():
        assert part.inputs().shape == (len(part), 1, 128)
        assert part.inputs().dtype == np.float32
        assert set(np.bincount(part.labels)) == {len(part) // 6}
    again = data.load("signals", "test")
    assert np.array_equal(again.images, parts["test"].images)
    whole = np.concatenate([part.images for part in parts.values()])
    assert len(np.unique(whole, axis=0)) == 3000


def test_kinds_have_about_the_same_power() -> None:
    part = data.load("signals", "train+validation")
    power = [float((part.images[part.labels == k] ** 2).mean()) for k in range(6)]
    names = dict(zip(part.classes, power, strict=True))
    assert names.pop("noise") == pytest.approx(0.49, rel=0.05)
    assert max(names.values()) < 1.3 * min(names.values())


def test_signals_are_not_images() -> None:
    assert not data.is_classified_images("signals")
    with pytest.raises(ConfigError, match="signals has no images"):
        data.stream_test("signals")


@pytest.mark.long
def test_a_network_of_signals_learns(tmp_path: Path) -> None:
    config = TrainConfig(
        out=tmp_path,
        arch="signals-cnn",
        data="signals",
        epochs=4,
        members=1,
        validation=True,
        model={"width": 16},
    )
    result = train(config)
    # A sixth would be chance.
    assert result.metrics["metrics"]["thresholded"]["accuracy"] > 0.35
    model, meta = checkpoint.load(result.checkpoint_path)
    assert sum(isinstance(module, BinaryConv1d) for module in model.modules()) == 3
    assert meta.config["length"] == 128
    x = torch.from_numpy(data.load("signals", "test").inputs()[:4])
    (fixed,) = materialize(model)
    assert torch.equal(fixed(x), model(x))
