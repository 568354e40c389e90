"""`sbn predict -o`: many pictures, in every form, interrupted or not."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sbn_runtime import BatchClassifier, Session

from ..command import COMMAND, sbn
from ..many.pictures import BROKEN, classifier, encoded, write_folder, write_parquet, write_tar
from ..small_models import random_images
from ..task_models import ROWS, save

COUNT = 1100
PLACES = ("file", "row", "name")


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return encoded(COUNT)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return classifier(tmp_path / "model.onnx")


def answers(path: Path) -> dict[str, list[Any]]:
    return pq.read_table(path).to_pydict()


def expected(model: Path, pictures: list[Any], **arguments: Any) -> dict[str, list[Any]]:
    """What one process answers, null as in files."""
    found = BatchClassifier(model, **arguments)({"image": pictures})
    lists = {name: values.tolist() for name, values in found.items()}
    for index, error in enumerate(lists["error"]):
        if error is not None:
            for name in lists.keys() - {"error"}:
                lists[name][index] = None
    if "unknown" in lists:
        lists["label"] = [None if label == -1 else label for label in lists["label"]]
    return lists


def check(output: Path, model: Path, pictures: list[Any], **arguments: Any) -> dict[str, list[Any]]:
    """Whether the answers are those of all pictures, or of the same ones several times."""
    found = answers(output)
    places = {name: found.pop(name) for name in PLACES}
    once = expected(model, pictures, **arguments)
    times = len(places["file"]) // len(pictures)
    assert found == {name: times * values for name, values in once.items()}
    assert not output.with_name(f"{output.name}.parts").exists()
    return places


def test_every_source(model: Path, tmp_path: Path, pictures: list[bytes]) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write_parquet(shards / "b.parquet", pictures)
    write_tar(shards / "c.tar", pictures)
    write_folder(shards / "a", pictures)
    (shards / "a" / "notes.txt").write_text("not a picture")
    (shards / ".hidden.png").write_bytes(BROKEN)
    output = shards / "answers.parquet"
    done = sbn(
        *("predict", model, shards, "-o", output, "--json", "--coverage", "0.9"),
        *("--reject-unknown", "0.2", "--processes", "2"),
    )
    assert done.status == 0, done
    assert done.json == {
        "output": str(output),
        "pictures": 3 * COUNT,
        "unreadable": 3 * (COUNT // 7),
    }
    places = check(output, model, pictures, coverage=0.9, reject=0.2)
    files = [str(shards / "a" / f"{i // 50:03}" / f"{i:05}.png") for i in range(COUNT)]
    assert places["file"] == [
        *files,
        *[str(shards / "b.parquet")] * COUNT,
        *[str(shards / "c.tar")] * COUNT,
    ]
    assert places["row"] == [0] * COUNT + 2 * [*range(COUNT)]
    assert places["name"][COUNT : 2 * COUNT] == [f"{i:05}.png" for i in range(COUNT)]
    assert places["name"][2 * COUNT + 1] == "00001.png"
    assert places["name"][2 * COUNT].endswith("/ü00000.png")


@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_pixels(model: Path, tmp_path: Path, savez: Any) -> None:
    images = random_images(1500)
    savez(tmp_path / "x.npz", images=images, labels=np.zeros(1500))
    sbn("predict", model, tmp_path / "x.npz", "-o", tmp_path / "a.parquet", "--processes", "1")
    places = check(tmp_path / "a.parquet", model, [*images])
    assert places["row"] == [*range(1500)]
    session = Session(model)
    labels = session.predict(session.preprocess(images))
    assert answers(tmp_path / "a.parquet")["label"] == labels.tolist()


def test_damaged_pixels(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, images=random_images(1500))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = sbn("predict", model, path, "-o", tmp_path / "a.parquet", "--processes", "1")
    assert f"{path}: images is damaged" in done.refused_after_progress()


def test_patterns(model: Path, tmp_path: Path, pictures: list[bytes]) -> None:
    folder = write_folder(tmp_path / "in", pictures[:120])
    done = sbn("predict", model, folder / "**" / "*[05].png", "-o", tmp_path / "a.parquet")
    assert "120" not in done.stdout
    assert done.stdout.startswith("24 pictures")
    check(tmp_path / "a.parquet", model, pictures[:120:5])


def test_killed_at_any_moment_it_goes_on(model: Path, tmp_path: Path) -> None:
    """Nothing is computed twice, and the file is that of an undisturbed run."""
    few = encoded(64)
    shards = tmp_path / "in"
    shards.mkdir()
    for index in range(8):
        write_parquet(shards / f"{index}.parquet", few * 12, group=len(few) * 12)
    arguments = ["predict", str(model), str(shards), "--processes", "2", "-o"]
    whole, output = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    alone = [*arguments[:-2], "1", "-o"]
    assert sbn(*alone, whole).status == 0
    parts = tmp_path / "killed.parquet.parts"
    for at_least in (1, 4):
        run = subprocess.Popen([*COMMAND, *arguments, str(output)], stderr=subprocess.DEVNULL)
        while len(done := finished(parts)) < at_least and run.poll() is None:
            time.sleep(0.01)
        run.kill()
        run.wait()
        for path, state in done.items():
            assert path.stat().st_mtime_ns == state
    if parts.exists():
        gone_on = finished(parts)
        assert len(gone_on) >= 4
    assert sbn(*alone, output).status == 0
    assert output.read_bytes() == whole.read_bytes()
    assert [*tmp_path.glob("*.parts")] == []


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def finished(parts: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in parts.glob("0*.arrow")}


def test_interrupted_it_says_how_to_go_on(model: Path, tmp_path: Path) -> None:
    shards = tmp_path / "in"
    shards.mkdir()
    for index in range(30):
        write_parquet(shards / f"{index:02}.parquet", encoded(64) * 17, group=2000)
    output = tmp_path / "a.parquet"
    run = subprocess.Popen(
        [*COMMAND, "predict", model, shards, "--processes", "2", "-o", output],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not finished(tmp_path / "a.parquet.parts"):
        assert run.poll() is None
        time.sleep(0.01)
    # As a terminal does it: to all processes of the command.
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate()
    assert run.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "sbn: error: interrupted"
    assert "run the same command to resume" in said
    # Nothing that it started goes on.
    while is_running(run.pid):
        time.sleep(0.01)


def test_a_damaged_shard_loses_nothing(model: Path, tmp_path: Path, pictures: list[bytes]) -> None:
    shards = tmp_path / "in"
    shards.mkdir()
    good = [write_parquet(shards / f"{i}.parquet", pictures[:200]) for i in range(3)]
    content = good[1].read_bytes()
    good[1].write_bytes(content[:200] + bytes(1000) + content[1200:])
    output = tmp_path / "a.parquet"
    arguments = ("predict", model, shards, "-o", output, "--processes", "1")
    said = sbn(*arguments).refused_after_progress()
    assert f"{good[1]} is damaged" in said
    assert "the others are done" in said
    before = finished(tmp_path / "a.parquet.parts")
    assert len(before) == 2
    good[1].write_bytes(content)
    assert sbn(*arguments).status == 0
    assert len(check(output, model, pictures[:200])["file"]) == 600


@pytest.mark.parametrize("cut", ["header", "middle", "end"])
def test_a_damaged_archive_is_noticed(
    model: Path, tmp_path: Path, pictures: list[bytes], cut: str
) -> None:
    path = write_tar(tmp_path / "x.tar", pictures[:30])
    content = bytearray(path.read_bytes())
    if cut == "header":
        place = content.index(b"00019.cls")
        content[place + 100] ^= 1
    path.write_bytes(content[:20_000] if cut == "middle" else content.rstrip(b"\0")[:-512])
    if cut == "header":
        path.write_bytes(content)
    said = sbn("predict", model, path, "-o", tmp_path / "a.parquet").refused_after_progress()
    assert f"{path} is damaged" in said
    assert [*tmp_path.glob("a.parquet*")] == []


def test_a_full_disk_loses_nothing(model: Path, tmp_path: Path, pictures: list[bytes]) -> None:
    """Here a limit on the size of files takes the place of the disk's."""
    few, many = tmp_path / "few.parquet", tmp_path / "many.parquet"
    write_parquet(few, pictures[:64])
    write_parquet(many, pictures, group=COUNT)
    output, whole = tmp_path / "a.parquet", tmp_path / "whole.parquet"
    sbn("predict", model, few, "-o", output)
    limit = 2 * output.stat().st_size
    output.unlink()
    arguments = ["predict", str(model), str(few), str(many), "--processes", "1", "-o"]
    assert sbn(*arguments, whole).status == 0
    assert whole.stat().st_size > limit

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*COMMAND, *arguments, output], capture_output=True, text=True, preexec_fn=full, check=False
    )
    assert done.returncode == 2
    assert f"cannot write {output}.parts/0000" in done.stderr.splitlines()[-1]
    assert "File too large" in done.stderr.splitlines()[-1]
    assert len(finished(tmp_path / "a.parquet.parts")) == 1
    assert not output.exists()
    assert sbn(*arguments, output).status == 0
    assert output.read_bytes() == whole.read_bytes()


def test_changed_pictures_are_classified_again(
    model: Path, tmp_path: Path, pictures: list[bytes]
) -> None:
    folder = write_folder(tmp_path / "in", pictures[:30])
    output, parts = tmp_path / "a.parquet", tmp_path / "a.parquet.parts"
    arguments = ("predict", model, folder, "-o", output)
    # The part is there, the file is not: a folder has its place.
    output.mkdir()
    assert "is a folder" in sbn(*arguments).refused()
    output.rmdir()
    sbn(*arguments)
    first = answers(output)
    parts.mkdir()
    stale = parts / f"{0:08}-{'0' * 32}.arrow"
    shutil.copy(output, stale)
    (folder / "000" / "00000.png").write_bytes(pictures[1])
    sbn(*arguments)
    assert answers(output)["entropy"][0] == first["entropy"][1]
    assert not parts.exists()


def test_two_runs_at_once(model: Path, tmp_path: Path, pictures: list[bytes]) -> None:
    import fcntl

    folder = write_folder(tmp_path / "in", pictures[:3])
    parts = tmp_path / "a.parquet.parts"
    parts.mkdir()
    with (parts / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = sbn("predict", model, folder, "-o", tmp_path / "a.parquet").refused_after_progress()
    assert "another run" in said


def test_what_is_refused(model: Path, tmp_path: Path, pictures: list[bytes]) -> None:
    output = tmp_path / "a.parquet"
    folder = write_folder(tmp_path / "in", pictures[:3])

    def said(*arguments: Any) -> str:
        return sbn("predict", *arguments).refused_after_progress()

    assert "No such file" in said(model, tmp_path / "none.tar", "-o", output)
    assert "no file matches" in said(model, tmp_path / "*.tar", "-o", output)
    assert "is not read with -o" in said(model, model, "-o", output)
    (tmp_path / "empty").mkdir()
    assert "no pictures" in said(model, tmp_path / "empty", "-o", output)
    assert "name the file so" in said(model, folder, "-o", tmp_path / "a.csv")
    assert "--until and -o" in said(model, folder, "-o", output, "--until", "0.9")
    assert "--processes needs -o" in said(model, folder, "--processes", "2")
    np.savez(tmp_path / "two.npz", a=random_images(2), b=random_images(2))
    assert "2 arrays of pictures 'a' 'b'" in said(model, tmp_path / "two.npz", "-o", output)
    numbers = save(tmp_path / "numbers.onnx", ROWS, "regression")
    assert "regression" in said(numbers, folder, "-o", output)
    (tmp_path / "gz.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    assert "not an uncompressed tar" in said(model, tmp_path / "gz.tar", "-o", output)
    assert [*tmp_path.glob("a.*")] == []
