"""The page of `sbn bundle --target web` for a model of sounds, in headless Chromium."""

from __future__ import annotations

import base64
import json
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_deploy.bundle import TARGETS, bundle_model
from sbn_deploy.export import export_checkpoint
from sbn_runtime import Listener, Session
from sbn_runtime.sound import read_wav

from ..built import ROOT
from ..once import once
from ..runtime.test_sound import wav
from ..sounds import RATE, tone
from .browser import Browser, browser, needs_chromium
from .node import needs_wasm
from .test_page import DESKTOP, PHONE, percent, shown

pytestmark = [needs_wasm, needs_chromium]
CHECKPOINT = ROOT / "models/spoken-digits/checkpoint.safetensors"
# What the network, which knows words alone, takes tones of these Hz for.
TONES = {"0": 250.0, "6": 3000.0}
CLASS = "0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, the page of it, and what the microphone hears."""

    def make(made: Path) -> None:
        export_checkpoint(CHECKPOINT, made / "digits.onnx")
        bundle_model(made / "digits.onnx", [TARGETS["web"]], made / "digits.zip")
        with zipfile.ZipFile(made / "digits.zip") as archive:
            archive.extractall(made)
        with wave.open(str(made / "microphone.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(48_000)
            heard = np.rint(32767 * tone(TONES[CLASS], 1.2, 48_000, 1)).astype("<i2")
            file.writeframes(heard.tobytes())

    return once(tmp_path_factory, "sound-page", make)


@pytest.fixture(scope="module")
def tab(folder: Path) -> Iterator[Browser]:
    microphone = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}",
    )
    with browser(microphone) as made:
        yield made


def show(tab: Browser, folder: Path, width: int) -> None:
    tab.open((folder / "digits/web/index.html").as_uri(), width=width)
    tab.wait("document.getElementById('facts')?.textContent")


def drop(tab: Browser, file: bytes, name: str = "sound.wav") -> None:
    data = base64.b64encode(file).decode()
    tab.evaluate(
        f"""(() => {{
          const bytes = Uint8Array.from(atob("{data}"), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], {json.dumps(name)}));
          document.getElementById("stage").dispatchEvent(
            new DragEvent("drop", {{ dataTransfer, bubbles: true, cancelable: true }}));
        }})()"""
    )
    tab.wait(
        "document.getElementById('bars').children.length"
        " || !document.getElementById('failure').hidden"
    )


def heard(tab: Browser) -> list[list[str]]:
    found: list[list[str]] = tab.evaluate(
        "[...document.querySelectorAll('#heard li')]"
        ".map((item) => [...item.children].map((part) => part.textContent))"
    )
    return found


def steady(answers: list[Any], classes: list[str]) -> list[list[str]]:
    """What was said three times in a row with 80 % certainty, the last first."""
    found: list[list[str]] = []
    said: list[int | None] = [None]
    for answer in answers:
        best = int(answer.probabilities.argmax())
        said.append(best if answer.probabilities[best] >= 0.8 else None)
        if said[-4:-3] not in ([], [best]) and said[-3:] == [best] * 3:
            found.insert(0, [classes[best], f"{answer.seconds:.1f} s"])
    return found


@pytest.mark.parametrize(("width", "seconds"), [(PHONE, 0.3), (DESKTOP, 2.5)])
def test_a_recording_is_dropped(tab: Browser, folder: Path, width: int, seconds: float) -> None:
    show(tab, folder, width)
    assert shown(tab)["label"] == "–"
    samples = np.concatenate([tone(hertz, seconds, RATE, 0) for hertz in TONES.values()])
    file = wav(np.rint(32767 * samples).astype(np.int64))
    drop(tab, file)
    session = Session(folder / "digits.onnx", threads=1)
    audio = read_wav(file, RATE)
    wanted = session.predict_proba(session.preprocess(audio))[0]
    page = shown(tab)
    classes = session.metadata["classes"]
    assert page["failure"] == ""
    assert page["label"] == classes[wanted.argmax()]
    assert [text.replace("\xa0", " ") for text in page["bars"]] == [percent(p) for p in wanted]
    listed = steady(Listener(session).push(audio), classes)
    assert heard(tab) == listed
    assert {name for name, _ in listed} == (set(TONES) if seconds > 1 else set())
    assert page["wide"] == width
    assert tab.complaints == []
    assert levels(tab).any()
    tab.evaluate("document.getElementById('clear').click()")
    assert shown(tab)["label"] == "–"
    assert heard(tab) == []


def levels(tab: Browser) -> NDArray[np.uint8]:
    """The green of the spectrum that is drawn."""
    drawn = tab.evaluate(
        """(() => {
          const board = document.getElementById("board");
          return [...board.getContext("2d").getImageData(0, 0, board.width, board.height).data];
        })()"""
    )
    return np.uint8(drawn)[1::4]


def test_the_microphone(tab: Browser, folder: Path) -> None:
    show(tab, folder, PHONE)
    tab.click("#microphone")
    tab.wait("document.getElementById('heard').children.length")
    assert CLASS in {name for name, _ in heard(tab)}
    assert shown(tab)["failure"] == ""
    assert tab.evaluate("document.getElementById('microphone').textContent") == "Stop"
    tab.click("#microphone")
    assert tab.evaluate("document.getElementById('microphone').textContent") == "Listen"
    # The answer stays.
    assert shown(tab)["label"] != "–"
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith("data:")] == [
        (folder / "digits/web/index.html").as_uri()
    ]


def test_other_files_are_decoded_by_the_browser(tab: Browser, folder: Path) -> None:
    """Here WAV with floats, which Python does not read."""
    samples = tone(TONES[CLASS], 1.0, 48_000, 3).astype("<f4")
    whole = wav(np.zeros(len(samples), np.int64), rate=48_000, width=4)
    file = whole[:20] + b"\3\0" + whole[22:44] + samples.tobytes()
    show(tab, folder, DESKTOP)
    drop(tab, file)
    page = shown(tab)
    assert (page["failure"], page["label"]) == ("", CLASS)


def test_a_file_that_is_no_sound(tab: Browser, folder: Path) -> None:
    show(tab, folder, DESKTOP)
    drop(tab, b"text", "notes.txt")
    failure = shown(tab)["failure"]
    assert failure.startswith("notes.txt: is no sound that this browser can read (not a readable")
