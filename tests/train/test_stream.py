"""Test images that are read when they are needed."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbn_deploy import data
from sbn_deploy.data.stream import Pixels, Stream, Unreadable
from sbn_runtime.errors import ConfigError
from sbn_runtime.raster import Raster

from .test_data import encoded, labels_of, random_images, write_folder, write_parquet


def pixels_of(image: Pixels | Raster) -> Pixels:
    return np.atleast_3d(image.upright() if isinstance(image, Raster) else image)


def images_of(stream: Stream) -> list[Pixels]:
    """Its images, grey ones with one channel."""
    images = []
    for image in stream.read(np.arange(len(stream))):
        assert not isinstance(image, Unreadable)
        images.append(pixels_of(image))
    return images


def same_as_loaded(spec: str, *, named: bool = True) -> Stream:
    """The stream of a data set, which has the images and labels of `load`, in whole or part."""
    stream, loaded = data.stream_test(spec), data.load(spec, "test")
    assert stream.name == loaded.name
    assert stream.classes == (loaded.classes if named else None)
    assert stream.pixel_max == loaded.preprocess.pixel_max
    assert stream.shape in (None, loaded.images.shape[1:])
    for step in (1, 3):
        chosen = np.arange(0, len(loaded), step)
        part = stream.take(chosen)
        assert np.array_equal(part.labels, loaded.labels[chosen])
        assert np.array_equal(np.stack(images_of(part)), loaded.images[chosen])
        assert part.title(len(part) - 1) == stream.title(int(chosen[-1]))
    late = stream.read(np.array([1, len(loaded) - 1]))
    assert np.array_equal([pixels_of(x) for x in late], loaded.images[[1, -1]])
    assert np.array_equal(stream.evenly(2).labels, loaded.labels[[0, -1]])
    assert stream.evenly(len(loaded) + 1) is stream
    return stream


def test_digits() -> None:
    same_as_loaded("digits")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("in_fortran", [False, True])
def test_npz(tmp_path: Path, save: object, in_fortran: bool) -> None:
    path = tmp_path / "set.npz"
    images = random_images(60, 5, 4, 3)
    arrays = {"images": np.asfortranarray(images) if in_fortran else images}
    save(path, **arrays, labels=labels_of(60, 2))  # type: ignore[operator]
    same_as_loaded(f"npz:{path}", named=False)
    save(  # type: ignore[operator]
        path,
        **arrays,
        labels=labels_of(60, 2),
        classes=np.array(["a", "b"]),
        test_images=images[:7, ..., 0],
        test_labels=labels_of(7, 2).astype(np.uint8),
    )
    assert same_as_loaded(f"npz:{path}").shape == (5, 4, 1)


def test_npz_that_is_damaged_further_back(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=random_images(400, 50, 50), labels=labels_of(400, 2))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"images is damaged .*Bad CRC-32"):
        images_of(data.stream_test(f"npz:{path}"))


def test_array_that_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", random_images(4, 3, 3))
    for read in (data.stream_test, lambda spec: data.load(spec, "test")):
        with pytest.raises(ConfigError, match="it is a single array"):
            read(f"npz:{tmp_path / 'set.npy'}")


@pytest.mark.parametrize("parted", [False, True])
def test_folder(tmp_path: Path, parted: bool) -> None:
    images = random_images(30, 4, 6, 3)
    write_folder(tmp_path / "train" if parted else tmp_path, images, 2)
    if parted:
        write_folder(tmp_path / "test", images[:5], 2)
    stream = same_as_loaded(f"folder:{tmp_path}")
    assert stream.title(0).endswith(".png")


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("parted", [False, True])
def test_parquet(tmp_path: Path, rows: int, parted: bool) -> None:
    images = random_images(40, 3, 3, 3)
    for name, part in (("train-0", images[:9]), ("train-1", images[9:]), ("test-0", images[:12])):
        if parted or name.startswith("train"):
            write_parquet(
                tmp_path / f"{name}.parquet", part, labels_of(len(part), 2), row_group_size=rows
            )
    same_as_loaded(f"hf-parquet:{tmp_path}")


def test_cifar10_in_its_binary_layout(tmp_path: Path) -> None:
    records = random_images(20, 1 + 3072)
    records[:, 0] %= 10
    for name in ("data_batch_1", "test_batch"):
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    assert same_as_loaded(f"cifar10:{tmp_path}").shape == (32, 32, 3)


def test_a_fingerprint_is_of_the_data(tmp_path: Path) -> None:
    def fingerprint() -> str:
        return data.stream_test(f"folder:{tmp_path}").fingerprint()

    write_folder(tmp_path, random_images(20, 4, 4, 3), 2)
    before = fingerprint()
    assert fingerprint() == before
    stream = data.stream_test(f"folder:{tmp_path}")
    parts = [stream.take(np.array(chosen)).fingerprint() for chosen in ([0, 1], [0, 2], [0])]
    assert len({before, *parts}) == 4
    changed = next(tmp_path.rglob("*.png"))
    facts = changed.stat()
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1000))
    assert fingerprint() != before


def image_file(mode: str, kind: str, size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 40 if mode in ("L", "I;16") else None).save(file, kind)
    return file.getvalue()


def test_files_of_every_kind(tmp_path: Path) -> None:
    frames = [Image.new("L", (6, 4), shade) for shade in (10, 200)]
    film = io.BytesIO()
    frames[0].save(film, "gif", save_all=True, append_images=frames[1:])
    whole = encoded(random_images(1, 40, 40, 3)[0])
    files = {
        "0-cmyk.jpg": image_file("CMYK", "jpeg"),
        "1-palette.gif": image_file("P", "gif"),
        "2-alpha.png": image_file("RGBA", "png"),
        "3-film.gif": film.getvalue(),
        "4-deep.png": image_file("I;16", "png"),
        "5-bits.png": image_file("1", "png"),
        "6-empty.jpg": b"",
        "7-text.png": b"no image",
        "8-cut.png": whole[: len(whole) // 2],
        "9-cut.jpg": image_file("RGB", "jpeg", (90, 90))[:700],
        "a-float.tif": image_file("F", "tiff"),
    }
    for name in ("train", "test"):
        (tmp_path / name / "only").mkdir(parents=True)
    folder = tmp_path / "test" / "only"
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "b-folder.png").mkdir()
    (folder / "c-nowhere.png").symlink_to("none")
    (folder / "notes.txt").write_text("not looked at")
    stream = data.stream_test(f"folder:{tmp_path}")
    found = list(stream.read(np.arange(len(stream))))
    readable = [image.upright().shape for image in found if isinstance(image, Raster)]
    assert readable == [(4, 6, 3), (4, 6, 3), (4, 6, 3), (4, 6, 3), (4, 6), (4, 6)]
    assert [isinstance(image, Unreadable) for image in found] == [False] * 6 + [True] * 7
    reasons = [image.reason for image in found if isinstance(image, Unreadable)]
    assert all(reason.startswith("not a readable image: ") for reason in reasons)
    assert "it is empty or of an unknown format" in reasons[0]
    assert "32 bits" in reasons[4]
    assert reasons[5].endswith("Is a directory")
    assert reasons[6].endswith("No such file or directory")
    # Training does not go on without them.
    with pytest.raises(ConfigError, match=r"6-empty\.jpg is not a readable image"):
        data.load(f"folder:{tmp_path}", "test")


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", random_images(1, 4, 4, 3), 1)
    write_folder(tmp_path / "test", random_images(1, 4, 4, 3), 1)
    (path,) = (tmp_path / "test").rglob("*.png")
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/\xff.png"))
    stream = data.stream_test(f"folder:{tmp_path}")
    assert len(images_of(stream)) == 1
    assert stream.title(0).encode().endswith("/\ufffd.png".encode())


def test_of_16_bits_the_upper_ones_count(tmp_path: Path) -> None:
    deep = (np.arange(16, dtype=np.uint16) * 4111).reshape(4, 4)
    for name in ("train", "test"):
        (tmp_path / name / "only").mkdir(parents=True)
        Image.fromarray(deep).save(tmp_path / name / "only" / "deep.png")
    (image,) = images_of(data.stream_test(f"folder:{tmp_path}"))
    assert np.array_equal(image[..., 0], deep >> 8)


def test_missing_things_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "test-0.parquet"
    images = random_images(3, 4, 4, 3)
    column = [{"bytes": encoded(images[0])}, None, {"bytes": None}]
    write_parquet(path, images, labels_of(3, 2), img=column, label=[0, None, 1])
    stream = data.stream_test(f"hf-parquet:{tmp_path}")
    assert stream.labels.tolist() == [0, -1, 1]
    found = list(stream.read(np.arange(3)))
    assert [isinstance(image, Unreadable) for image in found] == [False, True, True]


def test_too_few_images_to_test_on(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, images=random_images(4, 3, 3), labels=np.zeros(4, int))
    with pytest.raises(ConfigError, match="has no test part, and no class has the 5 images"):
        data.stream_test(f"npz:{path}")
    np.savez(path, images=random_images(0, 3, 3), labels=np.zeros(0, int))
    with pytest.raises(ConfigError, match="contains no images to test on"):
        data.stream_test(f"npz:{path}")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_set_larger_than_memory_is_read_piece_by_piece(tmp_path: Path, save: object) -> None:
    path = tmp_path / "set.npz"
    images = np.zeros((2000, 64, 64, 3), np.uint8)
    save(path, images=images[:0], labels=[], test_images=images, test_labels=labels_of(2000, 2))  # type: ignore[operator]
    whole = images.nbytes
    del images
    tracemalloc.start()
    try:
        stream = data.stream_test(f"npz:{path}")
        for image in stream.read(np.arange(len(stream))):
            assert not isinstance(image, Unreadable)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < whole / 10
