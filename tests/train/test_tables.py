"""Tables of numbers that scikit-learn brings along, from data to an answer in their unit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sbn_deploy import data
from sbn_deploy.export import export_checkpoint
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_deploy.train.choose import choose
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.given import given
from sbn_deploy.train.loop import train
from sbn_runtime import Session
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Standardize

SIZES = {
    "diabetes": (282, 71, 89, 10),
    "breast-cancer": (364, 91, 114, 30),
    "wine": (113, 29, 36, 13),
}


@pytest.mark.parametrize("name", SIZES)
def test_parts_are_disjoint_and_standardised_alike(name: str) -> None:
    train, validation, test = parts = [
        data.load(name, split) for split in ("train", "validation", "test")
    ]
    both = data.load(name, "train+validation")
    assert (*map(len, parts), both.images.shape[1]) == SIZES[name]
    rows = {row.tobytes() for part in parts for row in part.images}
    assert len(rows) == len({row.tobytes() for row in both.images} | rows) == sum(SIZES[name][:3])
    assert train.preprocess == validation.preprocess == test.preprocess
    inputs = both.inputs()
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axis=0), 1, atol=1e-5)
    assert isinstance(test.preprocess, Standardize)
    assert len(test.preprocess.features) == SIZES[name][3]
    if name != "diabetes":
        shares = [np.bincount(part.labels) / len(part) for part in parts]
        np.testing.assert_allclose(shares, [shares[0]] * 3, atol=0.03)
    assert choose(test) == "mlp"
    assert not data.is_classified_images(name)


def test_numbers_are_in_their_own_units() -> None:
    test = data.load("diabetes", "test")
    assert test.task == "regression"
    assert isinstance(test.preprocess, Standardize)
    age = test.images[:, test.preprocess.features.index("age")]
    assert np.array_equal(age, np.round(age))
    assert 18 < age.min() < age.max() < 80
    assert 25 <= test.labels.min() < test.labels.max() <= 346


def test_networks_learn_the_unit_of_what_is_trained_on() -> None:
    part = data.load("diabetes", "train")
    found = given(part, "mlp")
    assert found["features"] == 10
    assert found["target_mean"] == [pytest.approx(part.labels.mean())]
    assert found["target_std"] == [pytest.approx(part.labels.std())]
    assert "target_mean" not in given(data.load("wine", "train"), "mlp")


def test_the_last_step_is_the_unit() -> None:
    torch.manual_seed(0)
    plain = models.create("mlp", features=3, classes=2)
    scaled = models.create(
        "mlp", features=3, classes=2, target_mean=[5.0, -1.0], target_std=[2.0, 3.0]
    )
    scaled.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3)
    expected = plain.eval()(x) * torch.tensor([2.0, 3.0]) + torch.tensor([5.0, -1.0])
    assert torch.equal(scaled.eval()(x), expected)
    for wrong in ({"target_mean": [1.0]}, {"target_mean": [1.0], "target_std": [0.0]}):
        with pytest.raises(ConfigError, match=r"target_std .* needs 1 numbers"):
            models.create("mlp", **wrong)


def test_from_training_to_answers_about_a_csv_file(tmp_path: Path) -> None:
    """Answers are in the unit of the targets, and better than the mean of the targets."""
    config = TrainConfig(out=tmp_path, data="diabetes", epochs=12, batch_size=32, members=4)
    result = train(config)
    assert result.metrics["metrics"]["noisy"]["r2"] > 0.1
    file = tmp_path / "diabetes.onnx"
    export_checkpoint(result.checkpoint_path, file)
    test = data.load("diabetes", "test")
    assert isinstance(test.preprocess, Standardize)
    rows = tmp_path / "rows.csv"
    header = ",".join([*test.preprocess.features, "target"])
    table = np.column_stack([test.images, test.labels])
    np.savetxt(rows, table, "%.9g", ",", header=header, comments="")
    session = Session(file)
    found = session.predict(session.preprocess(rows))
    model, meta = checkpoint.load(result.checkpoint_path)
    with torch.no_grad():
        expected = model(torch.from_numpy(test.inputs())).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)
    trained = data.load("diabetes", "train+validation").labels
    assert meta.config["target_mean"] == [pytest.approx(trained.mean())]
    assert abs(found.mean() - trained.mean()) < 40
    recorded = result.metrics["metrics"]["thresholded"]["mae"]
    assert np.abs(found[:, 0] - test.labels).mean() == pytest.approx(recorded, rel=1e-4)


def test_a_setting_that_the_data_contradict(tmp_path: Path) -> None:
    config = TrainConfig(out=tmp_path, data="diabetes", model={"target_mean": [0.0]}, epochs=1)
    with pytest.raises(ConfigError, match=re.escape("model.target_mean is [0.0], but diabetes")):
        train(config)
