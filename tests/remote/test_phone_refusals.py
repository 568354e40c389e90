"""Phones, models and options that `--remote adb:` cannot use, and connections that are lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from sbn_deploy.remote import program

from ..sampled import few
from ..small_models import (
    write_float_model,
)
from .fake_phone import (
    DRIVER,
    SERIAL,
    WAIT_S,
    FakePhone,
    Run,
    answers,
    refusal,
    stand_in,
    timed,
)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--compare", "fp32"), "--compare fp32 does not go with --remote adb:, whose shell has"),
        (("--compare", "native,int8"), "--compare int8 does not go with --remote adb:, whose"),
        (("--wheel", "x.whl"), "--wheel does not go with --remote adb:; a phone's shell has no"),
        (("--remote-python", "x"), "--remote-python does not go with --remote adb:; a phone's"),
    ],
)
def test_what_does_not_go_with_a_phone(benchmark: Run, more: tuple[str, ...], said: str) -> None:
    assert refusal(benchmark(*more)).startswith(said)


@pytest.mark.parametrize(
    ("lines", "remote", "said"),
    [
        ([], "adb:", "adb finds no phone; plug one in"),
        (["a\tdevice", "b\toffline"], "adb:", "there are several phones; name one: adb:a, adb:b"),
        (["a\tdevice", "b\tdevice"], "adb:c", "adb finds no phone c, but adb:a, adb:b"),
        (
            ["a\tunauthorized"],
            "adb:",
            "a: does not allow this computer to debug it yet; unlock it and allow",
        ),
        (["a\tauthorizing"], "adb:", "a: is asking whether this computer may debug it; unlock it"),
        (["a\tdevice", "b\toffline"], "adb:b", "b: is offline; unplug it and plug it in again"),
        (
            [
                "a\tno permissions (user in plugdev group; are your udev rules wrong?); see"
                " [http://x]"
            ],
            "adb:",
            "a: is not accessible to this user; allow this user to use it",
        ),
        (["a\trecovery"], "adb:", "a: is recovery; start Android on it"),
        (
            ["a b\tdevice", "c\tdevice"],
            "adb:",
            "there are several phones; name one: 'a b' (its serial number cannot be used: unplug",
        ),
    ],
)
def test_phones_that_cannot_be_used(
    benchmark: Run, fake: FakePhone, lines: list[str], remote: str, said: str
) -> None:
    fake.list_devices(*lines)
    assert refusal(benchmark(remote=remote)).startswith(said)


def test_no_adb(
    benchmark: Run, fake: FakePhone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(benchmark()) == "adb is not installed here: sudo apt-get install adb"


def test_no_program(benchmark: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "PROGRAMS", tmp_path)
    said = refusal(benchmark())
    assert said.startswith("this installation has no sbn_measure for phones: in the folder")


def test_shell_that_is_refused(benchmark: Run, fake: FakePhone) -> None:
    fake.refuse("error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set")
    assert refusal(benchmark()) == (
        f"{SERIAL}: device unauthorized; unlock it and allow USB debugging for this computer on its"
        " screen"
    )


@pytest.mark.parametrize("abi", ["armeabi-v7a", "x86_64", ""])
def test_other_processors(benchmark: Run, fake: FakePhone, abi: str) -> None:
    fake.set_property("ro.product.cpu.abi", abi)
    assert refusal(benchmark()) == (
        f"{SERIAL}: runs {abi or 'unknown'} programs; only phones of 64-bit ARM (arm64-v8a) are"
        " measured"
    )


def test_no_android(benchmark: Run, fake: FakePhone) -> None:
    (fake.folder / "bin" / "getprop").unlink()
    assert refusal(benchmark()).startswith(f"{SERIAL}: does not run Android: ")


def test_no_space(benchmark: Run, fake: FakePhone) -> None:
    fake.program(
        "df", "echo Filesystem 1K-blocks Used Available Use% Mounted; echo /d 9 9 99 99% /"
    )
    assert refusal(benchmark()).startswith(f"{SERIAL}: 0 MB are free in /data/local/tmp, ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "adb: error: failed to copy 'plan' to '/x/plan': remote No space left on device",
            "its storage is full; free some space",
        ),
        ("adb: error: failed to read copy response", "copying failed: adb: error: failed to read"),
    ],
)
def test_copying_that_fails(benchmark: Run, fake: FakePhone, text: str, said: str) -> None:
    fake.refuse(text, "push_refusal")
    assert refusal(benchmark()).startswith(f"{SERIAL}: {said}")


def test_folder_that_cannot_be_made(benchmark: Run, fake: FakePhone) -> None:
    fake.program("mktemp", "exit 1")
    assert refusal(benchmark()).startswith(f"{SERIAL}: cannot make a folder in ")


@pytest.mark.parametrize(
    ("script", "said"),
    few(
        [
            ("exit 126", "sbn_measure ended with status 126"),
            ("kill -4 $$", "sbn_measure ended with status 132"),
            ("echo out of memory >&2; exit 2", "out of memory"),
        ],
        1,
    ),
)
def test_program_that_does_not_run(
    benchmark: Run, programs: Path, tmp_path: Path, monkeypatch: Any, script: str, said: str
) -> None:
    (tmp_path / "sbn_measure").write_text(f"#!/bin/sh\n{script}\n")
    monkeypatch.setattr(program, "PROGRAMS", tmp_path)
    assert refusal(benchmark()) == f"{SERIAL}: sbn_measure does not run there: {said}"


@pytest.mark.parametrize(
    "text",
    few(
        [
            *("", "{}", "[]", "hello"),
            *(json.dumps(timed(ns=ns)) for ns in ([], [0], [[1]], ["x"], None)),
        ],
        3,
    ),
)
def test_answers_of_another_form(
    benchmark: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(program, "PROGRAMS", stand_in(tmp_path, model, text))
    assert refusal(benchmark()) == f"{SERIAL}: sbn_measure answers in an unknown format"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x + np.float32([0, 0, 1]), "output 'logits': off by up to 1, its largest"),
        (lambda x: x * np.float32(np.nan), "output 'logits': off by up to nan"),
        (lambda x: x[:0], f"{SERIAL}: sbn_measure answers with outputs of other sizes: "),
    ],
)
def test_another_answer_than_here(
    benchmark: Run,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Any], Any],
    said: str,
) -> None:
    """Times of a phone that computes something else are not reported."""
    logits, probabilities = answers(model)
    outputs = change(logits).tobytes() + probabilities.tobytes()
    folder = stand_in(tmp_path, model, json.dumps(timed()), outputs=outputs)
    monkeypatch.setattr(program, "PROGRAMS", folder)
    assert said in refusal(benchmark())


def test_path_that_leads_elsewhere(
    benchmark: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (f"{tmp_path}/written", "sys/../../written", ""):
        text = json.dumps(timed(before={path: "x"}))
        monkeypatch.setattr(program, "PROGRAMS", stand_in(tmp_path, model, text))
        assert "an unknown form" in refusal(benchmark())
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("way", few(["status", "silence"], 1))
def test_connection_lost_half_way(
    benchmark: Run, fake: FakePhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The phone ends the program and removes the folder by itself."""
    if way == "silence":
        (fake.folder / "forgets_status").touch()
    (tmp_path / "sbn_measure").write_text("#!/bin/sh\necho $$ >pid; sleep 600\n")
    monkeypatch.setattr(program, "PROGRAMS", tmp_path)
    running: list[int] = []

    def cut() -> None:
        while not (found := list((fake.folder / "phone").glob("*/pid"))):
            time.sleep(0.01)
        time.sleep(0.1)
        running.append(int(found[0].read_text()))
        fake.cut()

    cutting = Thread(target=cut)
    cutting.start()
    said = refusal(benchmark())
    cutting.join()
    assert said.startswith(f"the connection to {SERIAL} was lost; the device ends what it was")
    assert fake.left_behind() == []
    end = time.monotonic() + WAIT_S
    while Path(f"/proc/{running[0]}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{running[0]}").exists()


@pytest.mark.parametrize("number", few([signal.SIGINT, signal.SIGKILL], 1))
def test_command_that_is_ended(
    fake: FakePhone, model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "sbn_measure").write_text("#!/bin/sh\n: >started; sleep 600\n")
    words = ["-c", DRIVER, tmp_path, "benchmark", model, "--remote", "adb:"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL) as command:
        end = time.monotonic() + 60
        while not list((fake.folder / "phone").glob("*/started")) and time.monotonic() < end:
            time.sleep(0.05)
        started = list((fake.folder / "phone").glob("*/started"))
        command.send_signal(number if started else signal.SIGKILL)
        command.wait(60)
    assert started
    assert fake.left_behind() == []


def test_model_that_is_none(benchmark: Run, tmp_path: Path) -> None:
    assert "has no sbn operators" in refusal(benchmark(path=write_float_model(tmp_path / "f.onnx")))
