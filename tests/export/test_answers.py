"""Networks run by our kernels where a data set is answered, as in torch."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from sbn_deploy import data, tasks
from sbn_deploy.data import Dataset
from sbn_deploy.export import answers
from sbn_deploy.export.answers import in_kernels
from sbn_deploy.materialize import materialize
from sbn_deploy.nn.models import create
from sbn_deploy.train.evaluation import in_torch
from sbn_deploy.train.head import Head
from sbn_deploy.train.score import score


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """As many images as are worth the kernels."""
    monkeypatch.setattr(answers, "WORTH", 1)
    return data.load("digits", "test").take(np.arange(150))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return create("digits-cnn", width=16).eval()


def head_of(network: nn.Module, images: Dataset) -> Head:
    one = torch.from_numpy(images.inputs()[:1])
    return Head.of(lambda: network(one), tasks.find(images.task))


@pytest.mark.parametrize("members", [1, 3])
def test_the_answers_are_those_of_torch(network: nn.Module, images: Dataset, members: int) -> None:
    made = materialize(network, weights="sample", members=members, seed=1)
    head = head_of(made[0], images)
    calls: list[int] = []
    found = in_kernels(made, images, head, report=lambda: calls.append(1))
    np.testing.assert_allclose(found, in_torch(made, images, head), atol=1e-5)
    assert len(calls) == members


def test_samples_are_of_the_same_distribution(network: nn.Module, images: Dataset) -> None:
    head, samples = head_of(network, images), 50
    calls: list[int] = []
    found = in_kernels(
        [network], images, head, samples=samples, seed=2, report=lambda: calls.append(1)
    )
    again = in_kernels([network], images, head, samples=samples, seed=2)
    other = in_kernels([network], images, head, samples=samples, seed=3)
    expected = in_torch([network], images, head, samples=samples, seed=2)
    assert len(calls) == samples
    assert np.array_equal(found, again)
    # Two means of as many samples differ by their noise, however they are drawn.
    noise = float(np.abs(found - other).mean())
    assert 0 < noise < 0.05
    assert float(np.abs(found - expected).mean()) < 1.5 * noise


def test_scores(network: nn.Module, images: Dataset) -> None:
    kinds = {"members": 2, "seed": 0, "calibration": None}
    head = head_of(network, images)
    found = score(network, images, head, answer=in_kernels, **kinds)
    expected = score(network, images, head, **kinds)
    for form in ("thresholded", "ensemble"):
        assert found[form] == pytest.approx(expected[form])
    assert found.keys() == expected.keys()


def test_few_images_are_answered_in_torch(
    network: nn.Module, images: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "WORTH", 1000)
    monkeypatch.setattr(answers, "_run", lambda *_: pytest.fail("the kernels ran"))
    made = materialize(network)
    head = head_of(made[0], images)
    assert np.array_equal(in_kernels(made, images, head), in_torch(made, images, head))


class Strange(nn.Module):
    """A network with an operation that ONNX does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(1)[:, :10]
        return torch.linalg.eigvalsh(rows[:, :, None] * rows[:, None])


def test_what_cannot_be_exported_is_answered_in_torch(
    images: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    network = Strange().eval()
    head = head_of(network, images)
    with caplog.at_level(logging.WARNING):
        found = in_kernels([network], images, head)
    assert np.array_equal(found, in_torch([network], images, head))
    assert "in torch, which takes longer: " in caplog.text


def test_a_failure_of_the_kernels_costs_time_only(
    network: nn.Module,
    images: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no memory for the session")

    monkeypatch.setattr(answers, "kernel_engine", fail)
    made = materialize(network)
    head = head_of(made[0], images)
    with caplog.at_level(logging.WARNING):
        found = in_kernels(made, images, head)
    assert np.array_equal(found, in_torch(made, images, head))
    assert "no memory for the session" in caplog.text
