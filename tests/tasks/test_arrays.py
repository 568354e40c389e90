"""Archives with other inputs or targets than images and their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_deploy import data, tasks
from sbn_runtime.errors import ConfigError, InputError, ModelError
from sbn_runtime.preprocess import Preprocess, Standardize, preprocess_from

from .task_data import COUNT, write

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.standard_normal((20, 4))
NUMBERS = np.arange(20, dtype=np.float32)


def archive(path: Path, **arrays: Any) -> str:
    np.savez(path / "data.npz", **arrays)
    return f"npz:{path / 'data.npz'}"


def message(spec: str, task: str = "classification") -> str:
    with pytest.raises(ConfigError) as caught:
        data.load(spec, "train").for_task(task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("task", tasks.OBJECTIVES)
def test_the_task_follows_from_the_targets(tmp_path: Path, task: str) -> None:
    spec = f"npz:{write(tmp_path / 'data.npz', task)}"
    whole = data.load(spec, "train+validation")
    test = data.load(spec, "test")
    assert whole.task == test.task == task
    assert len(whole) + len(test) == COUNT
    assert len(data.load(spec, "train")) + len(data.load(spec, "validation")) == len(whole)
    # Of classes, a fifth of each.
    assert COUNT // 5 - 1 <= len(test) <= COUNT // 5
    assert whole.inputs().shape[1:] == whole.input_shape
    assert whole.inputs().dtype == np.float32
    assert test.preprocess == whole.preprocess
    if whole.pixels:
        assert whole.input_shape == (1, 4, 6)
    else:
        over = (0, *range(2, whole.images.ndim))
        np.testing.assert_allclose(whole.inputs().mean(axis=over), 0, atol=1e-5)
        np.testing.assert_allclose(whole.inputs().std(axis=over), 1, atol=1e-4)
    shapes = {
        "classification": (2,),
        "multilabel": (3,),
        "regression": (),
        "segmentation": (2, 4, 6),
        "image": (1, 4, 6),
    }
    assert whole.output_shape == shapes[task]
    named = {"classification": ("0", "1"), "multilabel": ("red", "green", "blue")}
    assert whole.classes == named.get(task, ("dark", "bright") if task == "segmentation" else ())


def test_a_test_part_of_its_own(tmp_path: Path) -> None:
    spec = archive(tmp_path, x=ROWS, y=NUMBERS, test_x=ROWS[:3] + 100, test_y=NUMBERS[:3] - 1)
    test = data.load(spec, "test")
    np.testing.assert_array_equal(test.labels, [-1, 0, 1])
    assert len(data.load(spec, "train+validation")) == 20
    # Not a number of the test part goes into the normalisation.
    assert test.inputs().min() > 20


def test_normalisation_that_is_given(tmp_path: Path) -> None:
    spec = archive(tmp_path, x=ROWS, y=NUMBERS, mean=np.zeros(4), std=np.ones(4))
    found = data.load(spec, "train+validation")
    np.testing.assert_array_equal(found.inputs(), found.images)
    half = archive(tmp_path, x=ROWS, y=NUMBERS, std=np.full(4, 0.5))
    assert data.load(half, "train").preprocess.std == (0.5,) * 4


def test_a_feature_that_does_not_vary(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[:, 1] = 3
    assert not data.load(archive(tmp_path, x=rows, y=NUMBERS), "train").inputs()[:, 1].any()


def test_another_task_for_the_same_targets(tmp_path: Path) -> None:
    spec = archive(tmp_path, x=ROWS, y=np.arange(20) % 3)
    found = data.load(spec, "train").for_task("regression")
    assert (found.task, found.labels.dtype, found.classes) == ("regression", np.float32, ())
    image = archive(tmp_path, x=RANDOM.random((20, 1, 2, 2)), y=RANDOM.random((20, 1, 2, 2)))
    assert data.load(image, "train").for_task("regression").task == "regression"
    assert "the task segmentation needs integers" in message(spec, "segmentation")
    assert "cannot train for task 'ranking'; choose one of" in message(spec, "ranking")
    assert "cannot train for task 'none'" in message(spec, "none")
    assert "multilabel needs zeros and ones" in message("digits", "multilabel")


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": ROWS}, "has no array 'y'; it holds x"),
        ({"y": NUMBERS}, "has no array 'images'; it holds y"),
        ({"x": ROWS.astype(int), "y": NUMBERS}, "x is int64 [20, 4]; it must be floats"),
        ({"x": ROWS[:, 0], "y": NUMBERS}, "x is float64 [20]; it must be floats [N, F]"),
        ({"x": ROWS[:0], "y": NUMBERS[:0]}, "x is float64 [0, 4]"),
        ({"x": ROWS, "y": NUMBERS[:9]}, "the task regression needs numbers [20]"),
        ({"x": ROWS, "y": np.arange(9)}, "classification needs integers [20]"),
        ({"x": ROWS, "y": np.full(20, -1)}, "a target is -1; classes count from 0"),
        (
            {"x": ROWS, "y": np.arange(40).reshape(20, 2)},
            "which do not determine the task; give integers",
        ),
        ({"x": ROWS, "y": np.full((20, 2), 2, np.uint8)}, "a target is 2; labels are 0 or 1"),
        ({"x": ROWS, "y": np.array(["a"] * 20)}, "which do not determine the task"),
        ({"x": ROWS, "y": np.zeros((20, 2, 2), int)}, "segmentation needs integers"),
        ({"x": ROWS, "y": np.zeros((20, 1, 2, 2))}, "image needs float images"),
        ({"x": np.where(ROWS > 1, np.nan, ROWS), "y": NUMBERS}, "is not finite; remove it"),
        ({"x": ROWS, "y": np.where(NUMBERS > 3, np.inf, 0)}, "target 4 is not finite"),
        ({"x": ROWS, "y": NUMBERS, "mean": np.zeros(3)}, "mean is float64 [3]; it must be"),
        ({"x": ROWS, "y": NUMBERS, "std": np.zeros(4)}, "std must be above 0"),
        ({"x": ROWS, "y": NUMBERS, "test_x": ROWS}, "has no array 'test_y'"),
        (
            {"x": ROWS, "y": NUMBERS, "test_x": ROWS[:, :2], "test_y": NUMBERS},
            "test_x is [20, 2] with targets for regression, x is [20, 4]",
        ),
        (
            {"x": ROWS, "y": np.arange(20), "classes": np.array(["a", "b"])},
            "with 2 classes they go from 0 to 1",
        ),
        (
            {"x": ROWS, "y": np.zeros((20, 3), bool), "classes": np.array(["a", "b"])},
            "classes has 2 names, but y has 3 labels",
        ),
        ({"images": ROWS, "y": NUMBERS}, "images is float64 [20, 4]; it must be uint8"),
        (
            {"x": ROWS, "y": NUMBERS, "features": np.array(["a", "b", "a"])},
            "features has 3 names, 2 of them different, for inputs of [4]",
        ),
        (
            {"x": ROWS.reshape(20, 2, 2), "y": NUMBERS, "features": np.array(["a", "b"])},
            "it must hold a name for each column of x [N, F]",
        ),
    ],
)
def test_unfit_archives(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    assert expected in message(archive(tmp_path, **arrays))


def test_images_with_classes_are_read_one_by_one(tmp_path: Path) -> None:
    images = np.zeros((20, 2, 2), np.uint8)
    assert data.is_classified_images("digits")
    classes = archive(tmp_path, images=images, labels=np.arange(20) % 2)
    assert data.is_classified_images(classes)
    assert not data.is_classified_images(archive(tmp_path, images=images, y=NUMBERS))


def test_columns_have_the_names_of_the_archive(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    spec = archive(tmp_path, x=ROWS, y=NUMBERS, features=np.array(names))
    preprocess = data.load(spec, "test").preprocess
    assert isinstance(preprocess, Standardize)
    assert preprocess.features == names


def test_standardised_input_survives_json() -> None:
    given = Standardize((2, 3), (1.0, 2.0), (0.5, 4.0))
    assert preprocess_from(given.to_json()) == given
    x = np.ones((1, 2, 3), np.float32)
    np.testing.assert_array_equal(given.apply(x)[0], [[0] * 3, [-0.25] * 3])
    with pytest.raises(InputError, match=r"must be float32 \[N, 2, 3\], this is float64"):
        given.apply(x.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"takes numbers of shape \(2, 3\), not images"):
        Preprocess.from_json(given.to_json())


@pytest.mark.parametrize(
    "change", [{"shape": []}, {"std": [1.0, 0.0]}, {"mean": [1.0]}, {"shape": "x"}, {"mean": None}]
)
def test_damaged_standardisation(change: dict[str, Any]) -> None:
    fields = Standardize((2, 3), (1.0, 2.0), (0.5, 4.0)).to_json()
    with pytest.raises(ModelError, match="preprocessing description is"):
        preprocess_from(fields | change)
