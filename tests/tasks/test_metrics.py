"""Metrics against scikit-learn's and against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from sbn_deploy import tasks
from sbn_deploy.tasks import metrics


@pytest.fixture(params=range(5))
def random(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


def test_average_precision(random: np.random.Generator) -> None:
    # Few levels, so that many scores are equal.
    scores = random.integers(0, 6, (40, 3)) / 5
    truth = random.random((40, 3)) < 0.4
    found = metrics.average_precisions(scores, truth)
    expected = [reference.average_precision_score(truth[:, k], scores[:, k]) for k in range(3)]
    np.testing.assert_allclose(found, expected)


def test_a_label_that_never_holds_has_no_precision() -> None:
    scores, truth = np.array([[0.1, 0.2], [0.4, 0.3]]), np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(metrics.average_precisions(scores, truth), [0.5, np.nan])
    found = tasks.find("multilabel").scores(scores, truth.astype(np.uint8))
    assert found["map"] == 0.5


def test_f1(random: np.random.Generator) -> None:
    predicted, truth = random.random((30, 4)) < 0.5, random.random((30, 4)) < 0.3
    expected = reference.f1_score(truth, predicted, average=None, zero_division=0)
    np.testing.assert_allclose(metrics.f1_scores(predicted, truth), expected)
    nothing = np.zeros((3, 1), bool)
    assert metrics.f1_scores(nothing, nothing).tolist() == [0]


def test_intersection_over_union(random: np.random.Generator) -> None:
    predicted, truth = random.integers(0, 4, (2, 5, 3, 7))
    found = metrics.intersection_over_union(predicted, truth, 4)
    expected = reference.jaccard_score(truth.ravel(), predicted.ravel(), average=None)
    np.testing.assert_allclose(found, expected)
    with_one_more = metrics.intersection_over_union(predicted, truth, 5)
    np.testing.assert_array_equal(with_one_more, [*found, np.nan])


def test_regression(random: np.random.Generator) -> None:
    truth = random.standard_normal((20, 3)).astype(np.float32) * [1, 10, 100] + 50
    found = (truth + random.standard_normal((20, 3))).astype(np.float32)
    scores = tasks.find("regression").scores(found, truth)
    assert scores["rmse"] == pytest.approx(
        reference.root_mean_squared_error(truth.ravel(), found.ravel())
    )
    assert scores["mae"] == pytest.approx(reference.mean_absolute_error(truth, found))
    assert scores["r2"] == pytest.approx(reference.r2_score(truth, found))
    constant = tasks.find("regression").scores(np.ones(3), np.ones(3))
    assert np.isnan(constant["r2"])


def test_one_number_may_stand_in_a_row() -> None:
    truth = np.arange(4, dtype=np.float32)
    objective = tasks.find("regression")
    assert objective.scores(truth[:, None] + 1, truth) == objective.scores(truth + 1, truth)


def test_peak_signal_to_noise() -> None:
    truth = np.zeros((2, 1, 2, 2))
    truth[:, :, 0] = 4
    found = truth + np.array([0.4, 0.04]).reshape(2, 1, 1, 1)
    # Errors of a tenth and a hundredth of the peak: 20 and 40 dB.
    assert tasks.find("image").scores(found, truth)["psnr"] == pytest.approx(30)
    assert tasks.find("image").scores(truth, truth)["psnr"] == pytest.approx(100)


def test_classification(random: np.random.Generator) -> None:
    answer = random.dirichlet(np.ones(4), 30)
    truth = random.integers(0, 4, 30)
    found = tasks.find("classification").scores(answer.astype(np.float32), truth)
    assert found["accuracy"] == reference.accuracy_score(truth, answer.argmax(axis=1))
    expected = reference.log_loss(truth, answer, labels=range(4))
    assert found["nll"] == pytest.approx(expected, rel=1e-5)


def test_segmentation(random: np.random.Generator) -> None:
    answer = np.moveaxis(random.dirichlet(np.ones(3), (6, 2, 5)), -1, 1)
    truth = random.integers(0, 2, (6, 2, 5))
    found = tasks.find("segmentation").scores(answer, truth)
    flat = answer.argmax(axis=1).ravel(), truth.ravel()
    assert found["miou"] == pytest.approx(reference.jaccard_score(*flat[::-1], average="macro"))
    assert found["pixel_accuracy"] == pytest.approx((flat[0] == flat[1]).mean())
    pixels = np.moveaxis(answer, 1, -1).reshape(-1, 3)
    assert found["nll"] == pytest.approx(-np.log(pixels[np.arange(60), truth.ravel()]).mean())


@pytest.mark.parametrize("name", tasks.OBJECTIVES)
def test_shown(name: str) -> None:
    for metric in tasks.find(name).metrics:
        assert metric.show(None) == metric.show(float("nan")) == "-"
        assert metric.show(0.5).startswith(("50.00%", "0.5"))
