"""A newcomer's whole way: from a folder of photos to programs on two other machines."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import threading
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from sbn_deploy.cli import main
from sbn_deploy.train.kept import LAST
from sbn_deploy.train.loop import CHECKPOINT
from sbn_deploy.train.state import STATE
from sbn_runtime import Session
from sbn_runtime.decode import decode

from ..command import Outcome, sbn
from ..once import once
from ..packaging.conftest import Environment
from ..packaging.native import CROSS_COMPILER, compiled_as_described, emulator, need, run
from ..packaging.wheels import installed
from ..photos import write_photos

TRAINING = (
    *("--data", "folder:photos", "--size", "12", "--set", "validation=true"),
    *("--set", "batch_size=16", "--set", "model.width=6", "--set", "members=2"),
)
SWEEP = f"""\
checkpoint = "run/{CHECKPOINT}"
data = "folder:photos"
activations = ["deterministic"]
members = [2]
threads = [1]
engines = ["sbn"]
batch = [1]
runs = 10
"""
PHOTO = Path("photos/plum/005.png")  # turned, and with alpha


def done(*arguments: str | Path) -> Outcome:
    """A command that must succeed."""
    outcome = sbn(*arguments)
    assert outcome.status == 0, outcome
    return outcome


def interrupted(out: Path) -> str:
    """Training until Ctrl-C, which comes once an epoch is kept; what it said."""

    def press() -> None:
        while not (out / STATE).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(["train", *TRAINING, "--epochs", "100000", "--out", str(out)])
    thread.join()
    assert status == 130
    return said.getvalue()


def walk(folder: Path) -> None:
    """The way as far as a measured model, fruit.onnx, in this folder."""
    with contextlib.chdir(folder):
        train()
        measure()
        publish()


def train() -> None:
    write_photos(Path("photos"), 24)
    Path("photos/apple/notes.txt").write_text("not a photo")

    # Without a size, the photos cannot be used; the message says what to do.
    message = sbn("train", "--data", "folder:photos", "--out", "run").refused()
    assert message.endswith("give them one with --size, as --size 32")

    # Interrupted, used as it is, resumed: a run of another length is a mistake that is named.
    assert "resume with: sbn train --resume --out first" in interrupted(Path("first"))
    done("export", f"first/{LAST}", "-o", "unfinished.onnx")
    assert "unfinished run; add --resume" in sbn("train", *TRAINING, "--out", "first").refused()
    message = sbn("train", "--resume", "--out", "first", "--epochs", "3").refused()
    assert "belongs to a run with epochs = 100000, not 3" in message
    said = done("train", *TRAINING, "--epochs", "25", "--set", "patience=15", "--out", "run")
    assert "photos: 1 file is not read: 1 .txt" in said.stderr
    assert "network: digits-cnn, chosen by the inputs" in said.stderr
    again = done("train", "--resume", "--out", "run")
    assert "holds a finished run; nothing is left to train" in again.stderr


def measure() -> None:
    done("export", f"run/{CHECKPOINT}", "-o", "fruit.onnx")
    checked = done("validate", "fruit.onnx", "--against", f"run/{CHECKPOINT}")
    assert "every engine agrees" in checked.stderr
    found = done("evaluate", "fruit.onnx", "--data", "folder:photos", "-o", "before.json")
    assert "not read: 1 .txt" in found.stderr
    before = json.loads(Path("before.json").read_text())
    assert before["data"]["images"] == 12
    assert before["data"]["skipped"] == []
    # What training said on these very images.
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert before["scores"]["accuracy"] == metrics["metrics"]["thresholded"]["accuracy"]
    assert before["scores"]["accuracy"] > 0.5

    # The photos held out are too few to calibrate on; later ones are enough.
    message = sbn("calibrate", "fruit.onnx", "--data", "folder:photos").refused_after_progress()
    assert "folder:photos has 6 inputs to calibrate on; at least 100 are needed" in message
    for part, each in (("train", 2), ("val", 34)):
        write_photos(Path("later", part), each, seed=each)
    done("calibrate", "fruit.onnx", "--data", "folder:later")
    known = Session("fruit.onnx").calibration
    assert known is not None
    assert known.images == 102
    done("evaluate", "fruit.onnx", "--data", "folder:photos", "-o", "accuracy.json")
    after = json.loads(Path("accuracy.json").read_text())
    assert after["scores"]["nll"] != before["scores"]["nll"]
    done("benchmark", "fruit.onnx", "--runs", "10", "--warmup", "0", "-o", "speed.json")


def publish() -> None:
    Path("sweep.toml").write_text(SWEEP)
    done("sweep", "sweep.toml", "--out", "sweep")
    answer = json.loads(Path("sweep/answer.json").read_text())
    assert {found["model"] for found in answer["candidates"]} == {"threshold", "members2"}
    done("report", "accuracy.json", "speed.json", "-o", "report.html")
    done("card", "fruit.onnx", "accuracy.json", "speed.json", "-o", "card.md")
    for name in ("report.html", "card.md"):
        assert "fruit" in Path(name).read_text()


@pytest.fixture
def way(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the newcomer has come; the tests below start from there."""
    folder = once(tmp_path_factory, "newcomer", walk)
    monkeypatch.chdir(folder)
    return folder


def compiled(compiler: str, target: str, folder: Path) -> Path:
    """The bundle for a target, unpacked, with its C program."""
    with zipfile.ZipFile(folder / "fruit.zip") as archive:
        archive.extractall(folder)
    bundle = folder / "fruit" / target
    compiled_as_described(bundle, compiler)
    return bundle


def check(bundle: Path, *emulator: str) -> None:
    """The program gives the answer of `sbn predict` to the photo, once it is upright."""
    answer = done("predict", "fruit.onnx", PHOTO, "--json").json[0]["top"][0]
    session = Session("fruit.onnx")
    classes = session.metadata["classes"]
    assert session.predict(PHOTO)[0] == classes.index(answer["class"])
    Image.fromarray(decode(PHOTO).upright()).save(bundle / "photo.ppm")
    said = run(*emulator, "./classify", "photo.ppm", "fruit.onnx", cwd=bundle)
    label, _, probability = said.strip().rpartition(", probability ")
    assert label == answer["class"]
    assert float(probability) == pytest.approx(answer["probability"], abs=1e-5)


def test_from_photos_to_a_program_on_this_machine(way: Path, tmp_path: Path) -> None:
    need("cc")
    done("bundle", "fruit.onnx", "--target", "linux-x86_64", "-o", tmp_path / "fruit.zip")
    check(compiled("cc", "linux-x86_64", tmp_path))


def test_from_photos_to_a_program_on_a_raspberry_pi(
    way: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bundled by an installation of the wheel, which has the library for ARM."""
    need(CROSS_COMPILER, "qemu-aarch64")
    desk = Environment(installed(tmp_path_factory), way)
    target = ("--target", "linux-arm64")
    desk.run("sbn", "bundle", "fruit.onnx", *target, "-o", str(tmp_path / "fruit.zip"))
    bundle = compiled(CROSS_COMPILER, "linux-arm64", tmp_path)
    assert {"camera.py", "camera.service"} < {path.name for path in bundle.iterdir()}
    check(bundle, *emulator("cortex-a72"))


def test_what_a_mistyped_folder_or_a_missing_setting_gets(tmp_path: Path) -> None:
    """Nothing is trained or exported that nobody asked for."""
    missing = sbn("train", "--resume", "--out", tmp_path / "typo").refused()
    assert "typo holds no run to resume; check the name" in missing
    assert not (tmp_path / "typo").exists()
    photos = write_photos(tmp_path / "held" / "test", 4).parent
    said = sbn("evaluate", tmp_path / "none.onnx", "--data", f"folder:{photos}")
    assert said.status == 2
    words = ("--data", f"folder:{photos}", "--out", tmp_path / "run", "--size", "8")
    alone = sbn("train", *words).refused()
    assert "has test but no folder called train; to use test alone, add --split test" in alone
    whole = write_photos(tmp_path / "photos", 20)
    trained = sbn(
        *("train", "--data", f"folder:{whole}", "--size", "8", "--epochs", "1"),
        *("--set", "batch_size=8", "--set", "members=1", "--out", tmp_path / "run"),
    )
    assert trained.status == 0, trained
    settings = tmp_path / "sweep.toml"
    settings.write_text(f'checkpoint = "{tmp_path / "run" / "checkpoint.safetensors"}"\n')
    unnamed = sbn("sweep", settings, "--out", tmp_path / "sweep").refused()
    assert "was trained on folder:photos; name the test images with --data" in unnamed
    assert not (tmp_path / "sweep").exists()
