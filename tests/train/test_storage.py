"""Training on images that stay in their files: the same images, in the same order, every time."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy import data
from sbn_deploy.calibrate import calibrate
from sbn_deploy.data import ImageForm
from sbn_deploy.data.class_folders import Names
from sbn_deploy.data.stored import stored_images
from sbn_deploy.system import host
from sbn_deploy.train import checkpoint, prepare
from sbn_deploy.train.images import PIECES, grouped_order
from sbn_deploy.train.loop import METRICS, TrainConfig, train
from sbn_deploy.train.state import STATE, Saved
from sbn_deploy.train.trainer import Stopped, Trainer
from sbn_runtime.errors import ConfigError

from ..command import sbn
from ..photos import CLASSES, write_photos
from ..tools.storage_memory import write_pictures
from .test_data import encoded, labels_of, random_images, write_folder, write_parquet

SIZE = 8
FORM = ImageForm((SIZE, SIZE))
SPLITS: tuple[data.Split, ...] = ("train", "validation", "test", "train+validation")
RECIPE: dict[str, Any] = {
    "size": SIZE,
    "arch": "digits-cnn",
    "model": {"width": 2},
    "batch_size": 16,
    "epochs": 2,
    "members": 2,
    "batchnorm_images": 20,
    "validation": True,
}
CHANGED = {"images": "storage", "crop": 0.2, "flip": True, "weight_moments": "sgd"}


def photos(folder: Path) -> list[tuple[bytes, int]]:
    """Encoded photos and their classes, the classes mixed."""
    found = sorted(write_photos(folder, 40).glob("*/*"), key=lambda path: path.name)
    names = sorted({path.parent.name for path in found})
    return [(path.read_bytes(), names.index(path.parent.name)) for path in found]


def write_tar(path: Path, samples: Iterable[tuple[bytes, int]], suffix: str = "png") -> None:
    with tarfile.open(path, "w") as archive:
        for index, (content, label) in enumerate(samples):
            members = ((suffix, content), ("cls", b"%d" % label), ("json", b"{}"))
            for ending, inside in members:
                member = tarfile.TarInfo(f"set/{index:05}.{ending}")
                member.size = len(inside)
                archive.addfile(member, io.BytesIO(inside))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same photos as a folder, in parquet files and in tar archives."""
    folder = tmp_path_factory.mktemp("sets")
    samples = photos(folder / "folder")
    contents, labels = zip(*samples, strict=True)
    for kind in ("parquet", "tar"):
        (folder / kind).mkdir()
    for name, part in (("train-0", slice(0, 50)), ("train-1", slice(50, None))):
        own = labels[part]
        write_parquet(
            folder / "parquet" / f"{name}.parquet",
            random_images(len(own), 1, 1, 3),
            np.array(own),
            row_group_size=7,
            names=CLASSES,
            img=[{"bytes": content, "path": ""} for content in contents[part]],
        )
        write_tar(folder / "tar" / f"photos-{name}.tar", samples[part])
    return {
        "folder": f"folder:{folder / 'folder'}",
        "parquet": f"hf-parquet:{folder / 'parquet'}",
        "tar": f"webdataset:{folder / 'tar'}",
    }


def of_run(config: TrainConfig, **options: Any) -> dict[str, Any]:
    """What a run came to: parameters, and what is known but how long it took."""
    result = train(config, **options)
    model, _ = checkpoint.load(result.checkpoint_path)
    tensors = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    timed = ("seconds", "images_per_second")
    history = [
        {key: value for key, value in record.items() if key not in timed}
        for record in result.metrics["history"]
    ]
    return {"tensors": tensors, "scores": result.metrics["metrics"], "history": history}


# The images


@pytest.mark.parametrize("kind", ["folder", "parquet", "tar"])
def test_images_are_those_that_memory_would_hold(sets: dict[str, str], kind: str) -> None:
    for split in SPLITS:
        loaded, found = (read(sets[kind], split, FORM) for read in (data.load, data.load_stored))
        images = stored_images(found)
        assert images is not None
        assert stored_images(loaded) is None
        assert np.array_equal(found.images[:], loaded.images)
        assert np.array_equal(found.labels, loaded.labels)
        assert (found.classes, found.preprocess) == (loaded.classes, loaded.preprocess)
        assert (found.divided, found.notes) == (loaded.divided, loaded.notes)
        some = np.array([5, 0, 3])
        assert np.array_equal(found.take(some[:0]).images[:], loaded.images[:0])
        assert np.array_equal(found.images[some], loaded.images[some])
        again = pickle.loads(pickle.dumps(images))
        assert np.array_equal(again[:4], loaded.images[:4])
        assert np.concatenate([*images.parts()]).tolist() == [*range(len(found))]


def test_parts_of_their_own(tmp_path: Path) -> None:
    for part, count in (("train", 30), ("val", 8), ("test", 6)):
        write_folder(tmp_path / part, random_images(count, 4, 6, 1), 2)
    for split, count in (("train", 30), ("validation", 8), ("train+validation", 38), ("test", 6)):
        loaded, found = (
            read(f"folder:{tmp_path}", split) for read in (data.load, data.load_stored)
        )
        assert found.images.shape == loaded.images.shape == (count, 4, 6, 1)
        assert np.array_equal(found.images[:], loaded.images)
        assert stored_images(found).stream.title(0).endswith(".png")  # type: ignore[union-attr]


def test_size_and_colours_that_only_some_images_have(tmp_path: Path) -> None:
    write_folder(tmp_path, random_images(100, 4, 4, 1), 2)
    (tmp_path / "class0" / "003.png").write_bytes(encoded(random_images(1, 4, 4, 3)[0]))
    found = data.load_stored(f"folder:{tmp_path}", "train+validation")
    with pytest.raises(ConfigError, match=r"003.png is in colour, and others are grey; give --set"):
        found.images[:]
    for colour in ("grey", "rgb"):
        form = ImageForm(colour=colour)  # type: ignore[arg-type]
        loaded, found = (
            read(f"folder:{tmp_path}", "train", form) for read in (data.load, data.load_stored)
        )
        assert np.array_equal(found.images[:], loaded.images)
    (tmp_path / "class0" / "003.png").write_bytes(encoded(random_images(1, 4, 5)[0]))
    found = data.load_stored(f"folder:{tmp_path}", "train+validation")
    with pytest.raises(ConfigError, match=r"003.png is of 4x5 pixels .*, not 4x4 .*; give --size"):
        found.images[:]
    write_folder(tmp_path, random_images(100, 4, 5, 1), 2)
    (tmp_path / "class0" / "000.png").write_bytes(encoded(random_images(1, 9, 9)[0]))
    with pytest.raises(ConfigError, match=r"has 4x5 .*, but .* 9x9 .* give them one with --size"):
        data.load_stored(f"folder:{tmp_path}", "train")


def test_names_of_many_files() -> None:
    names = Names([Path("a"), Path("none"), Path("b")], [["ü.png", "2.png"], [], ["\udcff.png"]])
    wanted = [Path("a/ü.png"), Path("a/2.png"), Path("b/\udcff.png")]
    assert [*names] == wanted
    assert (names[-1], names[1:]) == (wanted[-1], wanted[1:])
    with pytest.raises(IndexError):
        names[3]


# What is wrong with them


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", b"x")], r"a has no class \(a.cls\); each sample needs one"),
        ([("a.cls", b"0")], "a has no image; each sample needs one"),
        ([("a.png", b"x"), ("a.cls", b"cat")], r"a.cls holds b'cat'; it must be a class, a whole"),
        ([("a.png", b"x"), ("a.cls", b"9" * 99)], "a.cls holds .*; it must be a class"),
        ([("a.png", b"x"), ("a.cls", b"-1")], "a.cls holds b'-1'; it must be a class"),
        ([("a.png", b""), ("a.jpg", b""), ("a.cls", b"0")], "a has two images or classes"),
        ([("a.txt", b"")], "contains no images"),
    ],
)
def test_archives_that_hold_something_else(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for read in (data.load, data.load_stored):
        with pytest.raises(ConfigError, match=message):
            read(f"webdataset:{tmp_path}", "train")


def test_archives_that_are_damaged(tmp_path: Path) -> None:
    for read in (data.load, data.load_stored):
        with pytest.raises(ConfigError, match=r"no train-\*.tar in .*; give the folder"):
            read(f"webdataset:{tmp_path}", "train")
    samples = [(encoded(image), index % 2) for index, image in enumerate(random_images(30, 4, 4))]
    write_tar(tmp_path / "train-0.tar", samples)
    found = data.load_stored(f"webdataset:{tmp_path}", "train")
    whole = (tmp_path / "train-0.tar").read_bytes()
    (tmp_path / "train-0.tar").write_bytes(whole[:5000])
    with pytest.raises(
        ConfigError, match=r"train-0.tar is damaged .*: it ends within image \d+ of"
    ):
        found.images[:]
    with pytest.raises(ConfigError, match=r"train-0.tar is damaged or not an uncompressed tar"):
        data.load_stored(f"webdataset:{tmp_path}", "train")


def test_parquet_files_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "train-0.parquet"
    write_parquet(path, random_images(40, 3, 3, 3), labels_of(40, 2), row_group_size=5)
    found = data.load_stored(f"hf-parquet:{tmp_path}", "train")
    content = bytearray(path.read_bytes())
    content[200:800] = bytes(600)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"train-0.parquet is damaged"):
        found.images[:]
    write_parquet(path, random_images(40, 3, 3, 3), labels_of(40, 2), row_group_size=8)
    with pytest.raises(ConfigError, match=r"train-0.parquet has changed since training began"):
        found.images[:]
    unlabelled = [None, *[1] * 39]
    write_parquet(path, random_images(40, 3, 3, 3), labels_of(40, 2), label=unlabelled)
    with pytest.raises(ConfigError, match=r"row 0 of .*train-0.parquet has no label"):
        data.load_stored(f"hf-parquet:{tmp_path}", "train")


# Order


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(0, 99))
def test_an_order_in_groups_has_every_image_once(sizes: list[int], seed: int) -> None:
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    order = grouped_order(groups, torch.Generator().manual_seed(seed))
    assert sorted(order.tolist()) == [*range(sum(sizes))]
    # Where the group changes another piece begins; pieces of one group may meet.
    runs = torch.unique_consecutive(groups[order]).tolist()
    assert max(Counter(runs).values(), default=0) <= PIECES


def test_an_order_in_groups_is_another_one_each_time() -> None:
    groups = torch.arange(1000) // 100
    orders = [grouped_order(groups, torch.Generator().manual_seed(seed)) for seed in range(2)]
    assert not torch.equal(*orders)
    # Within a group too.
    assert not torch.equal(*(order[groups[order] == 0] for order in orders))


# Training


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_without_changes_it_is_training_in_memory(
    sets: dict[str, str], kind: str, tmp_path: Path
) -> None:
    places = {"memory": {}, "storage": {"workers": 0}}
    runs = [
        of_run(
            TrainConfig(
                out=tmp_path / place, data=sets[kind], images=place, shift=0, **RECIPE, **own
            )
        )
        for place, own in places.items()
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_processes_reads_the_same(
    sets: dict[str, str], tmp_path: Path, workers: int
) -> None:
    config = {"data": sets["parquet"], "gradient_accumulation": 2, **CHANGED, **RECIPE}
    here, there = (
        of_run(TrainConfig(out=tmp_path / str(count), workers=count, **config))
        for count in (0, workers)
    )
    assert here == there


@pytest.mark.parametrize("steps", [2, 5, 7])
def test_stopped_in_the_middle_of_an_epoch_it_goes_on(
    sets: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    config = {"data": sets["parquet"], **CHANGED, **RECIPE}
    whole = of_run(TrainConfig(out=tmp_path / "whole", workers=0, **config))
    step = Trainer._step

    def counted(self: Trainer, *arguments: Any) -> tuple[float, float]:
        result = step(self, *arguments)
        if self.position.epoch * self.steps + self.position.step + 1 == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", counted)
        with pytest.raises(Stopped):
            train(TrainConfig(out=tmp_path / "a", workers=0, **config))
    again = TrainConfig(out=tmp_path / "a", workers=1 if steps == 5 else 0, images="auto")
    assert of_run(again, resume=True) == whole


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_an_image_that_cannot_be_read_stops_and_loses_nothing(tmp_path: Path, part: str) -> None:
    for name, each in (("train", 20), ("val", 8), ("test", 8)):
        write_photos(tmp_path / "set" / name, each)
    config = {"data": f"folder:{tmp_path / 'set'}", "workers": 0, "colour": "rgb"}
    config |= CHANGED | RECIPE
    whole = of_run(TrainConfig(out=tmp_path / "whole", **config))
    broken = tmp_path / "set" / part / "pear" / "007.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:150])
    said = r"pear/007.png is not a readable image: .*; replace or remove it; then resume with: sbn"
    with pytest.raises(ConfigError, match=said):
        train(TrainConfig(out=tmp_path / "a", **config))
    saved = Saved(tmp_path / "a" / STATE).position
    assert (saved.epoch, saved.step) >= {"train": (0, 0), "val": (0, 3), "test": (2, 0)}[part]
    broken.write_bytes(content)
    assert of_run(TrainConfig(out=tmp_path / "a"), resume=True) == whole


def test_a_set_too_large_for_memory_stays_in_storage(
    sets: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(data.load_stored(sets["tar"], "train", FORM))
    needed = count * SIZE * SIZE * 3
    for spare, place in ((0, "memory"), (-1, "storage")):
        monkeypatch.setattr(
            host, "memory_limit", lambda spare=spare: prepare.SHARE * needed + spare
        )
        config = TrainConfig(out=tmp_path, data=sets["tar"], workers=0, **RECIPE)
        result = train(config, overwrite=True)
        assert result.metrics["recipe"]["images"] == result.config.images == place
    assert '"images": "storage"' in (tmp_path / METRICS).read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"images": "storage"},
            r"images = 'storage' is for data sets of folder, .*, not for digit",
        ),
        ({"crop": 0.5}, "crop is for data sets of folder, hf-parquet, webdataset, not for digits"),
        ({"crop": 0.5, "images": "memory"}, "crop cuts from pictures in storage; leave images out"),
        ({"crop": 1.5}, "crop"),
    ],
)
def test_what_cannot_be_in_storage(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(TrainConfig(out=tmp_path, **settings))


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """Training, validation and scoring, in a process that has done the same with fewer images."""
    small, large, side = 150, 600, 128
    for count in (small, large):
        write_pictures(tmp_path / str(count), count, side)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(192, 4))\n"
    )
    code = f"""
import resource
from pathlib import Path
from sbn_deploy.data import stored
from sbn_deploy.train.loop import TrainConfig, train

stored.PART, stored.BATCH = 1 << 18, 8
for count in ({small}, {large}):
    train(TrainConfig(
        out=Path(str(count) + "-out"), data=f"folder:{{count}}", size={side}, images="storage",
        workers=0, arch="net.py:build", epochs=1, batch_size=16, validation=True,
    ))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = (1024 * int(line) for line in done.stdout.split())
    more = (large - small) * side * side * 3
    assert second - first < more / 2


def test_calibration_reads_from_storage(tmp_path: Path) -> None:
    """The files are those that the same images in memory would have given."""
    for part, count in (("train", 160), ("val", 120)):
        write_pictures(tmp_path / "set" / part, count, SIZE)
    spec, out = f"folder:{tmp_path / 'set'}", tmp_path / "out"
    settings = ("arch=digits-cnn", "model.width=2", "batch_size=16", "members=2", "images=storage")
    words = [word for setting in settings for word in ("--set", setting)]
    done = sbn(
        *("train", "--data", spec, "--size", SIZE, "--epochs", 1, *words, "--set", "workers=0"),
        *("--calibrate", "--out", out),
    )
    assert done.status == 0, done.stderr
    assert "training images" not in done.stderr
    held_out = data.load(spec, "validation", FORM)
    again, both = out / "again.onnx", out / "both.onnx"
    made = calibrate(both, held_out, "validation", output=again)
    assert again.read_bytes() == both.read_bytes()
    assert any("they were read from storage" in note for note in made.notes)
