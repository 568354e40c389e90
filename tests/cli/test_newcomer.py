"""A newcomer's whole way: from a folder of photos to a program on another machine."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import zipfile
from pathlib import Path

import onnxruntime
import pytest
from PIL import Image

from sbn_deploy.cli import main
from sbn_deploy.train.kept import LAST
from sbn_deploy.train.loop import CHECKPOINT
from sbn_deploy.train.state import STATE
from sbn_runtime import Session
from sbn_runtime.decode import decode

from ..command import Outcome, sbn
from ..packaging.native import HERE, STRICT, need, onnxruntime_library, run
from ..photos import write_photos

TRAINING = (
    *("--data", "folder:photos", "--size", "12", "--set", "validation=true"),
    *("--set", "batch_size=16", "--set", "model.width=6", "--set", "members=2"),
)


def done(*arguments: str | Path) -> Outcome:
    """A command that must succeed."""
    outcome = sbn(*arguments)
    assert outcome.status == 0, outcome
    return outcome


def interrupted(out: Path) -> str:
    """Training until Ctrl-C, which comes once an epoch is kept; what it said last."""

    def press() -> None:
        while not (out / STATE).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    status = main(["train", *TRAINING, "--epochs", "100000", "--out", str(out)])
    thread.join()
    assert status == 130
    return str(out)


def test_the_whole_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), 24)
    Path("photos/apple/notes.txt").write_text("not a photo")

    # Without a size, the photos cannot be used; the message says what to do.
    message = sbn("train", "--data", "folder:photos", "--out", "run").refused()
    assert message.endswith("give them one with --size, as --size 32")

    # Interrupted, used as it is, resumed: a run of another length is a mistake that is named.
    interrupted(Path("first"))
    assert "resume with: sbn train --resume --out first" in capsys.readouterr().err
    done("export", f"first/{LAST}", "-o", "unfinished.onnx")
    assert "unfinished run; add --resume" in sbn("train", *TRAINING, "--out", "first").refused()
    message = sbn("train", "--resume", "--out", "first", "--epochs", "3").refused()
    assert "belongs to a run with epochs = 100000, not 3" in message
    said = done("train", *TRAINING, "--epochs", "25", "--set", "patience=15", "--out", "run")
    assert "photos: 1 file is not read: 1 .txt" in said.stderr
    assert "network: digits-cnn, chosen by the inputs" in said.stderr
    again = done("train", "--resume", "--out", "run")
    assert "holds a finished run; nothing is left to train" in again.stderr

    # The file, checked and measured.
    done("export", f"run/{CHECKPOINT}", "-o", "fruit.onnx")
    checked = done("validate", "fruit.onnx", "--against", f"run/{CHECKPOINT}")
    assert "every engine agrees" in checked.stderr
    found = done("evaluate", "fruit.onnx", "--data", "folder:photos", "-o", "accuracy.json")
    assert "not read: 1 .txt" in found.stderr
    record = json.loads(Path("accuracy.json").read_text())
    assert record["data"]["images"] == 12
    assert record["data"]["skipped"] == []
    # What training said on these very images.
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert record["scores"]["accuracy"] == metrics["metrics"]["thresholded"]["accuracy"]
    assert record["scores"]["accuracy"] > 0.5
    done("benchmark", "fruit.onnx", "--runs", "10", "--warmup", "0", "-o", "speed.json")
    done("report", "accuracy.json", "speed.json", "-o", "report.html")
    done("card", "fruit.onnx", "accuracy.json", "speed.json", "-o", "card.md")
    for name in ("report.html", "card.md"):
        assert "fruit" in Path(name).read_text()

    # A photo that was taken sideways, at the desk and in the program of the bundle.
    photo = Path("photos/plum/005.png")  # turned, and with alpha
    answer = done("predict", "fruit.onnx", photo, "--json").json[0]["top"][0]
    session = Session("fruit.onnx")
    assert session.predict(photo)[0] == session.metadata["classes"].index(answer["class"])
    done("bundle", "fruit.onnx", "--target", "linux-x86_64", "-o", "fruit.zip")
    in_bundle(photo, answer, session.metadata["classes"])


def in_bundle(photo: Path, answer: dict[str, float], classes: list[str]) -> None:
    """The C program of the bundle gives the answer of `sbn predict` to the upright photo."""
    need("cc")
    with zipfile.ZipFile("fruit.zip") as archive:
        archive.extractall()
    folder = Path("fruit").absolute()
    onnxruntime_library(Path(onnxruntime.__file__).parent / "capi", folder)
    link = ("-L", ".", "-lonnxruntime", f"-Wl,-rpath,{folder}", "-o", "classify")
    run("cc", *STRICT, "classify.c", "-I", HERE / "include", *link, cwd=folder)
    Image.fromarray(decode(photo).upright()).save(folder / "photo.ppm")
    said = run("./classify", "photo.ppm", cwd=folder)
    label, probability = re.findall(r"[\d.]+", said)
    assert classes[int(label)] == answer["class"]
    assert float(probability) == pytest.approx(answer["probability"], abs=1e-5)
