"""From folders of recordings to answers about new ones, as a user types it."""

from __future__ import annotations

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from sbn_deploy import cli, data
from sbn_runtime import Listener, Preprocess, Session
from sbn_runtime.sound import LogMel, read_wav

from ..command import sbn
from ..sounds import TONES, recording, trained, write_sounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network `model.onnx`, and the `sounds` that it was trained on."""
    folder = tmp_path_factory.mktemp("sounds")
    checkpoint = trained(folder)
    exported = sbn("export", checkpoint, "-o", folder / "model.onnx")
    assert exported.status == 0, exported
    return folder


def test_a_file_says_how_sounds_become_its_input(folder: Path) -> None:
    session = Session(folder / "model.onnx")
    preprocess = Preprocess.from_json(session.metadata["preprocess"])
    assert preprocess.sound == LogMel()
    assert session.metadata["classes"] == sorted(TONES)


def test_sounds_are_the_same_everywhere(folder: Path) -> None:
    """In training, by path, as samples."""
    files = sorted((folder / "sounds").glob("*/*.wav"))
    images = data.load(f"sounds:{folder / 'sounds'}", "train+validation").images
    session = Session(folder / "model.onnx")
    by_path = session.preprocess([str(file) for file in files])
    assert {row.tobytes() for row in images} <= {row.tobytes() for row in by_path}
    samples = [read_wav(file, 8000) for file in files[:3]]
    np.testing.assert_array_equal(session.preprocess(samples), by_path[:3])
    np.testing.assert_array_equal(session.preprocess(samples[0]), by_path[:1])


def test_predict_and_evaluate(folder: Path) -> None:
    sounds = folder / "sounds"
    said = sbn("predict", folder / "model.onnx", sounds / "low" / "01.wav", "--json")
    assert said.status == 0, said
    found = sbn(
        *("evaluate", folder / "model.onnx", "--data", f"sounds:{sounds}"),
        *("-o", folder / "e.json", "--json"),
    )
    assert found.status == 0, found
    record = json.loads((folder / "e.json").read_text())
    test = data.load(f"sounds:{sounds}", "test")
    session = Session(folder / "model.onnx")
    right = session.predict(session.preprocess(test.images)) == test.labels
    assert record["scores"]["accuracy"] == pytest.approx(right.mean())
    assert (
        sbn(
            "validate",
            folder / "model.onnx",
            "--against",
            folder / "run" / "checkpoint.safetensors",
        ).status
        == 0
    )


def test_files_that_are_no_sounds(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    said = sbn("predict", folder / "model.onnx", text).refused()
    assert "text.wav: not a readable sound" in said
    assert "WAV files" in said
    missing = sbn("predict", folder / "model.onnx", tmp_path / "none.wav").refused()
    assert "none.wav: No such file" in missing


def test_a_broken_recording_in_the_data(folder: Path, tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", 20)
    broken = sounds / "low" / "04.wav"
    broken.write_bytes(broken.read_bytes()[:20])
    (sounds / "low" / "notes.txt").write_text("not a sound")
    words = ("--data", f"sounds:{sounds}", "--out", tmp_path / "run", "--epochs", "1")
    said = sbn("train", *words).refused()
    assert "04.wav: not a readable sound" in said
    found = sbn("evaluate", folder / "model.onnx", "--data", f"sounds:{sounds}")
    assert found.status == 0, found
    assert "04.wav" in found.stderr + found.stdout
    assert "1 file is not read: 1 .txt" in found.stderr + found.stdout


def test_a_size_is_not_for_sounds(folder: Path, tmp_path: Path) -> None:
    words = ("--data", f"sounds:{folder / 'sounds'}", "--out", tmp_path / "run", "--size", "16")
    assert "leave size and colour out" in sbn("train", *words).refused()


def test_pictures_are_not_for_a_model_of_sounds(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (64, 32)).save(tmp_path / "picture.png")
    said = sbn("predict", folder / "model.onnx", tmp_path / "picture.png").refused()
    assert "not a readable sound" in said


def test_listening_to_a_file(folder: Path, tmp_path: Path) -> None:
    """One line for each answer while a recording of two seconds is played."""
    path, samples = tmp_path / "long.wav", recording(2, seconds=2.0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    heard = sbn("listen", folder / "model.onnx", path, "--json")
    assert heard.status == 0, heard
    lines = [json.loads(line) for line in heard.stdout.splitlines()]
    session = Session(folder / "model.onnx")
    expected = Listener(session).push(samples)
    assert 15 <= len(lines) == len(expected) <= 22
    for line, one in zip(lines, expected, strict=True):
        label = session.metadata["classes"][one.probabilities.argmax()]
        assert (line["seconds"], line["label"]) == (one.seconds, label)
    shown = sbn("listen", folder / "model.onnx", path, "--min-confidence", "1")
    assert shown.status == 0
    assert shown.stdout == ""


def test_without_sounddevice_a_file_can_be_heard(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert cli.main(["listen", str(folder / "model.onnx")]) != 0
    assert "pip install sounddevice; or name a WAV file" in capsys.readouterr().err


def test_a_bundle_for_sounds(folder: Path, tmp_path: Path) -> None:
    said = sbn(
        "bundle", folder / "model.onnx", "--target", "linux-x86_64", "-o", tmp_path / "b.zip"
    )
    assert "sound" in said.refused()
    assert not (tmp_path / "b.zip").exists()
