"""Folders of photos as they are: sizes, colours, parts, and what is said of other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_deploy import data
from sbn_deploy.commands.images import read_input
from sbn_deploy.data import ImageForm
from sbn_deploy.evaluate.classifier import load_classifier
from sbn_deploy.evaluate.evaluation import Evaluator
from sbn_deploy.train.loop import TrainConfig, train
from sbn_runtime import Preprocess, Session
from sbn_runtime.errors import ConfigError
from sbn_runtime.fit import FITS, Fit
from sbn_runtime.raster import Raster

from ..photos import CLASSES, write_photos
from ..small_models import write_pixel_classifier

FORM = ImageForm((4, 4), "crop", "rgb")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "fruit", 15)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_training_evaluation_and_prediction_see_the_same_pixels(
    photos: Path, fit: Fit, channels: int, tmp_path: Path
) -> None:
    half = (0.5,) * channels
    preprocess = Preprocess(channels, 4, 4, 255, half, half, fit=fit)
    model = write_pixel_classifier(tmp_path / "m.onnx", channels, preprocess=preprocess.to_json())
    spec = f"folder:{photos}"
    trained = data.load(spec, "test", ImageForm.of(preprocess))
    assert trained.preprocess == preprocess
    # sbn evaluate
    stream = data.stream_test(spec)
    classifier = load_classifier(model, stream)
    evaluator = Evaluator(classifier, stream, stream.labels, 3, batch=4)
    images = stream.read(np.arange(len(stream)))
    evaluated = [evaluator._fitted(index, image) for index, image in enumerate(images)]
    # sbn predict
    session = Session(model, threads=1)
    predicted = [read_input(Path(stream.title(index)), session) for index in range(len(stream))]
    assert np.array_equal(np.stack(evaluated), trained.images)
    assert np.array_equal(np.concatenate(predicted), trained.images)
    assert evaluator.run(str).skipped == []


def test_images_of_several_sizes_are_told_the_option(photos: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        data.load(f"folder:{photos}", "train")
    text = str(caught.value)
    assert "pixels (height x width), but" in text
    assert text.endswith("sizes in all; give them one with --size, as --size 32")


def test_files_from_before_do_as_before(photos: Path) -> None:
    """No orientation, no transparency, and no other size than the model's."""
    older = Preprocess(3, 4, 4, 255, (0.5,) * 3, (0.5,) * 3)
    assert ImageForm.of(older) == ImageForm(fit="")
    with pytest.raises(ConfigError, match="sizes in all; make them alike"):
        data.load(f"folder:{photos}", "test", ImageForm.of(older))


def test_data_in_arrays_gets_another_size_too() -> None:
    plain = data.load("digits", "test")
    assert plain.preprocess.to_json()["fit"] == "crop"
    large = data.load("digits", "test", ImageForm((12, 9), "pad", "rgb"))
    assert large.images.shape == (360, 12, 9, 3)
    assert isinstance(large.preprocess, Preprocess)
    assert large.preprocess.mean == (0.5, 0.5, 0.5)
    first = Raster.of_array(plain.images[0]).upright()
    assert np.array_equal(large.images[0], large.preprocess.sized(first))
    assert data.load("digits", "test", ImageForm.of(large.preprocess)).inputs().shape[1] == 3
    assert data.load("signals", "test", FORM).input_shape == (1, 128)


def test_size_and_colour_are_for_images(tmp_path: Path) -> None:
    for setting in ({"size": 32}, {"colour": "rgb"}):
        config = TrainConfig(out=tmp_path, data="signals", **setting)
        with pytest.raises(ConfigError, match="size and colour are for images, but signals"):
            train(config)
    with pytest.raises(ConfigError, match="size is 99999; images can have sides of up to 16,384"):
        TrainConfig(out=tmp_path, size=[32, 99999])


def test_maps_do_not_follow_another_size(tmp_path: Path) -> None:
    images = np.zeros((20, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "maps.npz", images=images, y=np.arange(320).reshape(20, 4, 4) % 3)
    spec = f"npz:{tmp_path / 'maps.npz'}"
    assert data.load(spec, "test", FORM).task == "segmentation"
    with pytest.raises(ConfigError, match="has targets for each pixel"):
        data.load(spec, "test", ImageForm((8, 8)))


# parts


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_a_part_for_validation(tmp_path: Path, name: str) -> None:
    write_photos(tmp_path / "train", 10)
    write_photos(tmp_path / name, 3, seed=1)
    write_photos(tmp_path / "test", 2, seed=2)
    spec = f"folder:{tmp_path}"
    sizes = {
        split: len(data.load(spec, split, FORM))
        for split in ("train", "validation", "train+validation", "test")
    }
    assert sizes == {"train": 30, "validation": 9, "train+validation": 39, "test": 6}


def test_without_a_part_for_testing_nothing_is_trained_on_and_tested(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 10)
    write_photos(tmp_path / "val", 3, seed=1)
    spec = f"folder:{tmp_path}"
    both, test = (data.load(spec, split, FORM) for split in ("train+validation", "test"))
    assert (len(both), len(test)) == (24 + 9, 6)
    seen = {image.tobytes() for image in both.images}
    assert not seen & {image.tobytes() for image in test.images}
    assert len(data.stream_test(spec)) == 6


def test_a_part_for_training_alone_is_divided(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 10)
    spec = f"folder:{tmp_path}"
    both, test = (data.load(spec, split, FORM) for split in ("train+validation", "test"))
    assert (len(both), len(test), test.classes) == (24, 6, CLASSES)


# what is not read


def test_files_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    write_photos(tmp_path, 6, suffix=".jpg")
    for name in ("a.heic", "b.HEIC", "c.txt", ".DS_Store"):
        (tmp_path / "apple" / name).write_bytes(b"")
    test = data.load(f"folder:{tmp_path}", "test", FORM)
    message = (
        f"{tmp_path}: 3 files are not read: 2 .heic (install pillow-heif to read them), 1 .txt"
    )
    assert test.notes == (message,)
    assert data.stream_test(f"folder:{tmp_path}").notes == (message,)


def test_classes_without_images(tmp_path: Path) -> None:
    write_photos(tmp_path, 6, classes=CLASSES[:2])
    (tmp_path / "plum").mkdir()
    (tmp_path / "plum" / "a.heic").write_bytes(b"")
    message = (
        "class 'plum' in .* has no files that can be read; add some, or remove its folder; .*"
        " 1 file is not read: 1 .heic"
    )
    with pytest.raises(ConfigError, match=message):
        data.load(f"folder:{tmp_path}", "train", FORM)


def test_a_single_class(tmp_path: Path) -> None:
    write_photos(tmp_path, 6, classes=("apple",))
    with pytest.raises(ConfigError, match="has only one class, 'apple'; it needs two or more"):
        data.load(f"folder:{tmp_path}", "train", FORM)
