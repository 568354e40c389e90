"""Data sets, their splits, and what is said about broken ones."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from sbn_deploy import data
from sbn_runtime.errors import ConfigError


def rows(dataset: data.Dataset) -> set[bytes]:
    return {image.tobytes() for image in dataset.images}


def test_splits_are_disjoint_complete_and_stratified() -> None:
    train, validation, test = (data.load("digits", s) for s in ("train", "validation", "test"))
    both = data.load("digits", "train+validation")
    assert len(train) + len(validation) == len(both)
    assert len(both) + len(test) == 1797
    assert len(test) == 360
    assert rows(train) | rows(validation) == rows(both)
    assert not rows(test) & rows(both)
    assert not rows(train) & rows(validation)
    for part in (train, validation, test):
        share = np.bincount(part.labels, minlength=10) / len(part)
        assert share.min() > 0.08
        assert share.max() < 0.12


def test_inputs_are_exact_multiples_of_an_eighth() -> None:
    digits = data.load("digits", "test")
    inputs = digits.inputs()
    assert inputs.dtype == np.float32
    assert inputs.shape == (360, 1, 8, 8)
    assert np.array_equal(inputs[:, 0] * 8 + 8, digits.images[..., 0])


def test_unknown_names_are_errors() -> None:
    with pytest.raises(ConfigError, match="unknown data set 'mnist'; choose one of digits"):
        data.load("mnist", "test")
    with pytest.raises(ConfigError, match="unknown split 'dev'"):
        data.load("digits", "dev")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["cifar10", "folder", "npz", "hf-parquet"])
def test_missing_data(kind: str, tmp_path: Path) -> None:
    for location in ("", str(tmp_path / "nothing"), "~nobody\0/x", "~no such user/x", "a" * 9999):
        with pytest.raises(ConfigError, match=f"no data at .*; give the data set as {kind}:PATH"):
            data.load(f"{kind}:{location}", "train")


def random_images(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def encoded(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "png")
    return file.getvalue()


def labels_of(count: int, classes: int) -> NDArray[np.int64]:
    return np.arange(count) % classes


def check_parts(spec: str, sizes: tuple[int, int, int]) -> None:
    """Train, validation and test have these sizes, are disjoint, and hold all classes."""
    train, validation, test = (data.load(spec, s) for s in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == sizes
    both = data.load(spec, "train+validation")
    assert rows(both) == rows(train) | rows(validation)
    assert len(rows(both) | rows(test)) == sum(sizes)
    for part in (train, validation, test):
        assert set(part.labels.tolist()) == set(range(len(part.classes)))
        assert part.classes == train.classes


# folder


def write_folder(folder: Path, images: NDArray[np.uint8], classes: int) -> None:
    for index, image in enumerate(images):
        path = folder / f"class{index % classes}" / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_without_parts(tmp_path: Path, channels: int) -> None:
    images = random_images(100, 5, 5, channels)
    write_folder(tmp_path, images, 2)
    check_parts(f"folder:{tmp_path}", (72, 8, 20))
    test = data.load(f"folder:{tmp_path}", "test")
    assert test.classes == ("class0", "class1")
    assert test.images.shape == (20, 5, 5, channels)
    # Each fifth image of a class: 8, 18, … of those with even numbers.
    assert np.array_equal(test.images[0], images[8])
    inputs = test.inputs()
    assert np.allclose(inputs[0], images[8].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)


def test_folder_with_parts(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", random_images(40, 4, 6, 3), 2)
    write_folder(tmp_path / "test", random_images(6, 4, 6, 3, seed=1), 2)
    check_parts(f"folder:{tmp_path}", (36, 4, 6))
    (tmp_path / "test" / "other").mkdir()
    with pytest.raises(ConfigError, match=r"other is a class that the training part does not have"):
        data.load(f"folder:{tmp_path}", "test")


def test_folder_to_test_on(tmp_path: Path) -> None:
    """Without images for training; and a class that is named test is a class."""
    write_folder(tmp_path / "test", random_images(6, 4, 6, 3), 2)
    test = data.load(f"folder:{tmp_path}", "test")
    assert (len(test), test.classes) == (6, ("class0", "class1"))
    stream = data.stream_test(f"folder:{tmp_path}")
    assert (len(stream), stream.classes) == (6, ("class0", "class1"))
    with pytest.raises(ConfigError, match="to use test alone, add --split test"):
        data.load(f"folder:{tmp_path}", "train")
    named = tmp_path / "named"
    write_folder(named, random_images(20, 4, 6, 3), 2)
    (named / "class0").rename(named / "test")
    assert data.stream_test(f"folder:{named}").classes == ("class1", "test")


def test_grey_and_colour_images_together_are_colour(tmp_path: Path) -> None:
    write_folder(tmp_path, random_images(20, 4, 4, 1), 2)
    (tmp_path / "class0" / "colour.png").write_bytes(encoded(random_images(1, 4, 4, 3)[0]))
    images = data.load(f"folder:{tmp_path}", "train+validation").images
    assert images.shape[-1] == 3
    assert (images[0, ..., 0] == images[0, ..., 2]).all()


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    spec = f"folder:{tmp_path}"
    with pytest.raises(ConfigError, match="has no folders"):
        data.load(spec, "train")
    (tmp_path / "class0").mkdir()
    with pytest.raises(ConfigError, match="has only one class, 'class0'; it needs two or more"):
        data.load(spec, "train")
    (tmp_path / "class1").mkdir()
    with pytest.raises(ConfigError, match="contains no images"):
        data.load(spec, "train")
    write_folder(tmp_path, random_images(10, 4, 4, 3), 2)
    (tmp_path / "class1" / "large.png").write_bytes(encoded(random_images(1, 4, 5, 3)[0]))
    with pytest.raises(
        ConfigError,
        match=r"large\.png has 4x5 pixels \(height x width\), but .*000\.png 4x4 .*, as --size 32",
    ):
        data.load(spec, "train")
    (tmp_path / "class1" / "large.png").write_text("no image")
    with pytest.raises(ConfigError, match=r"large\.png is not a readable image"):
        data.load(spec, "train")


# npz


def test_npz_with_and_without_test_images(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    images, labels = random_images(200, 3, 3), labels_of(200, 2)
    np.savez(path, images=images, labels=labels, classes=np.array(["a", "b"]))
    check_parts(f"npz:{path}", (144, 16, 40))
    test = data.load(f"npz:{path}", "test")
    assert test.classes == ("a", "b")
    assert test.images.shape == (40, 3, 3, 1)
    more = random_images(10, 3, 3, seed=1)
    np.savez(path, images=images, labels=labels, test_images=more, test_labels=labels[:10])
    check_parts(f"npz:{path}", (180, 20, 10))
    assert data.load(f"npz:{path}", "test").classes == ("0", "1")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no array 'images'; it holds nothing"),
        ({"images": random_images(4, 3, 3)}, "no array 'labels'; it holds images"),
        (
            {"images": random_images(4, 3, 3).astype(np.float32), "labels": labels_of(4, 2)},
            r"images is float32 \[4, 3, 3\]; it must be uint8",
        ),
        ({"images": random_images(4, 3), "labels": labels_of(4, 2)}, r"\[4, 3\]; it must be"),
        ({"images": random_images(4, 3, 3), "labels": np.zeros(4)}, "must hold integers"),
        ({"images": random_images(4, 3, 3), "labels": labels_of(5, 2)}, "one label for each"),
        (
            {"images": random_images(4, 3, 3), "labels": np.array([0, 1, -1, 0])},
            "image 2 has label -1; with 2 classes labels go from 0 to 1",
        ),
        (
            {"images": random_images(4, 3, 3), "labels": np.array([0, 1, 9, 0]), "classes": ["a"]},
            "image 1 has label 1; with 1 classes",
        ),
        ({"images": random_images(0, 3, 3), "labels": np.zeros(0, int)}, "contains no images"),
        ({"images": np.array([{}]), "labels": labels_of(1, 1)}, "holds object, not numbers"),
    ],
)
def test_archives_that_hold_something_else(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConfigError, match=message):
        data.load(f"npz:{path}", "train")


def test_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=random_images(9, 3, 3))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ConfigError, match="is damaged"):
        data.load(f"npz:{path}", "train")


# parquet


def write_parquet(
    path: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    row_group_size: int | None = None,
    names: Sequence[str] = ("cat", "dog"),
    **columns: Any,
) -> None:
    values = {
        "img": [{"bytes": encoded(image), "path": "x.png"} for image in images],
        "label": labels,
    }
    feature = {"_type": "ClassLabel", "names": [*names]}
    table = pyarrow.table(values | columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group_size)


def test_parquet_files_in_parts(tmp_path: Path) -> None:
    images, labels = random_images(100, 4, 4, 3), labels_of(100, 2)
    for index in range(2):
        part = slice(50 * index, 50 * index + 50)
        path = tmp_path / "data" / f"train-{index:05}-of-00002.parquet"
        write_parquet(path, images[part], labels[part])
    check_parts(f"hf-parquet:{tmp_path}", (72, 8, 20))
    write_parquet(
        tmp_path / "data" / "test-0.parquet", random_images(6, 4, 4, 3, seed=1), labels[:6]
    )
    check_parts(f"hf-parquet:{tmp_path}", (90, 10, 6))
    write_parquet(
        tmp_path / "data" / "validation-0.parquet", random_images(8, 4, 4, 3, seed=2), labels[:8]
    )
    check_parts(f"hf-parquet:{tmp_path}", (100, 8, 6))
    train = data.load(f"hf-parquet:{tmp_path}", "train")
    assert np.array_equal(train.images, images)
    assert train.classes == ("cat", "dog")


def test_parquet_files_that_hold_something_else(tmp_path: Path) -> None:
    path = tmp_path / "train-0.parquet"
    images, labels = random_images(4, 3, 3, 3), labels_of(4, 2)
    with pytest.raises(ConfigError, match=r"no train-\*\.parquet"):
        data.load(f"hf-parquet:{tmp_path}", "train")
    write_parquet(path, images, labels, img=["a", "b", "c", "d"])
    with pytest.raises(ConfigError, match="has columns img, label; it needs one with encoded"):
        data.load(f"hf-parquet:{tmp_path}", "train")
    write_parquet(path, images, labels, label=[0, 1, None, 0])
    with pytest.raises(ConfigError, match=r"row 2 of .*train-0.parquet has no label"):
        data.load(f"hf-parquet:{tmp_path}", "train")
    write_parquet(path, images, labels, label=[0, 1, 2, 0])
    with pytest.raises(ConfigError, match="image 2 has label 2; with 2 classes"):
        data.load(f"hf-parquet:{tmp_path}", "train")
    write_parquet(path, images, labels, img=[{"bytes": b"x", "path": ""}] * 4)
    with pytest.raises(ConfigError, match=r"row 0 of .*train-0.parquet is not a readable image"):
        data.load(f"hf-parquet:{tmp_path}", "train")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match="is damaged"):
        data.load(f"hf-parquet:{tmp_path}", "train")


# CIFAR-10


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-bin"])
def test_cifar10_in_its_binary_layout(tmp_path: Path, folder: str) -> None:
    inside = tmp_path / folder
    inside.mkdir(exist_ok=True)
    images, labels = random_images(400, 32, 32, 3), labels_of(400, 10)

    def write(name: str, part: slice) -> None:
        planes = images[part].transpose(0, 3, 1, 2).reshape(-1, 3072)
        np.hstack([labels[part, None].astype(np.uint8), planes]).tofile(inside / name)

    for index in range(3):
        write(f"data_batch_{index + 1}.bin", slice(100 * index, 100 * index + 100))
    write("test_batch.bin", slice(300, 400))
    check_parts(f"cifar10:{tmp_path}", (270, 30, 100))
    test = data.load(f"cifar10:{tmp_path}", "test")
    assert test.name == "cifar10"
    assert test.classes[3] == "cat"
    assert np.array_equal(test.images, images[300:])
    (inside / "test_batch.bin").write_bytes(bytes(3000))
    with pytest.raises(ConfigError, match="3000 bytes, not a multiple of 3073"):
        data.load(f"cifar10:{tmp_path}", "test")


def test_cifar10_in_its_parquet_layout(tmp_path: Path) -> None:
    images, labels = random_images(40, 32, 32, 3), labels_of(40, 2)
    write_parquet(tmp_path / "train-0.parquet", images, labels)
    write_parquet(tmp_path / "test-0.parquet", images[:8] ^ 1, labels[:8])
    check_parts(f"cifar10:{tmp_path}", (36, 4, 8))
    assert data.load(f"cifar10:{tmp_path}", "test").name == "cifar10"


def test_cifar10_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no CIFAR-10 in .*, or data_batch_1 and so on"):
        data.load(f"cifar10:{tmp_path}", "train")


def write_pickled(path: Path, images: NDArray[np.uint8], labels: list[int]) -> None:
    """As the files for Python have it, but for who wrote them."""
    planes = images.transpose(0, 3, 1, 2).reshape(-1, 3072)
    names = [b"image.png"] * len(labels)
    content = {b"batch_label": b"1 of 5", b"labels": labels, b"data": planes, b"filenames": names}
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-py"])
def test_cifar10_in_its_layout_for_python(tmp_path: Path, folder: str) -> None:
    inside = tmp_path / folder
    inside.mkdir(exist_ok=True)
    images, labels = random_images(400, 32, 32, 3), labels_of(400, 10).tolist()
    for index in range(3):
        part = slice(100 * index, 100 * index + 100)
        write_pickled(inside / f"data_batch_{index + 1}", images[part], labels[part])
    write_pickled(inside / "test_batch", images[300:], labels[300:])
    check_parts(f"cifar10:{tmp_path}", (270, 30, 100))
    assert np.array_equal(data.load(f"cifar10:{tmp_path}", "test").images, images[300:])
    found = data.stream_test(f"cifar10:{tmp_path}")
    assert np.array_equal(np.stack([*found.read(np.arange(100))]), images[300:])
    for wrong, message in (
        ({b"data": np.zeros((3, 5), np.uint8), b"labels": [0, 1, 2]}, "does not hold data"),
        ({b"labels": [0]}, "does not hold data"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "2 labels for 2 images, or"),
    ):
        (inside / "test_batch").write_bytes(pickle.dumps(wrong, protocol=2))
        with pytest.raises(ConfigError, match=message):
            data.load(f"cifar10:{tmp_path}", "test")


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_is_executed(tmp_path: Path, protocol: int) -> None:
    trap, batch = tmp_path / "trap", tmp_path / "test_batch"
    for content in ({b"data": Hostile(trap), b"labels": []}, Hostile(trap), [1], {1: {2}}):
        batch.write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(ConfigError, match=r"test_batch (is not a pickled batch|does not hold)"):
            data.load(f"cifar10:{tmp_path}", "test")
    often: list[Any] = [1] * 50
    for _ in range(9):
        often = [often] * 50
    nested = pickle.dumps({b"labels": often}, protocol=protocol)
    for content in (b"", b"pickle", pickle.dumps({b"labels": [0] * 99})[:50], nested):
        batch.write_bytes(content)
        with pytest.raises(ConfigError, match=r"is not a pickled batch of images: .*download it"):
            data.load(f"cifar10:{tmp_path}", "test")
    assert not trap.exists()
