"""`--remote adb:` with an adb whose phone is a folder; its programs run in qemu."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import pytest

from sbn_deploy import cli
from sbn_deploy.benchmark.stability import RULE_OF_CORE
from sbn_deploy.engines.engine import example
from sbn_deploy.evaluate.scores import classified
from sbn_deploy.records.files import load
from sbn_deploy.records.sweep import Sweep
from sbn_deploy.remote import adb, connection, phone, program
from sbn_deploy.remote.phone import Twin
from sbn_deploy.sweep import steps
from sbn_runtime import Session, isa

from ..packaging.native import arm_program, need
from ..sampled import few
from ..small_models import (
    PREPROCESS,
    SIZE,
    Classifier,
    StochasticClassifier,
    random_images,
    write_float_model,
)
from .conftest import Device
from .fake_adb import ELF

WAIT_S = 10
SERIAL = "0A1B2C"
PROGRAMS = ("cat", "chmod", "df", "mktemp", "rm", "sleep")
PROPERTIES = {
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.model": "Phone 1",
    "ro.soc.model": "SM1234",
    "ro.build.version.release": "14",
}
GETPROP = """#!/bin/sh
cat "{folder}/properties/$1" 2>/dev/null || echo
"""
# A command in a process of its own, to be interrupted.
DRIVER = """
import sys
from pathlib import Path
from sbn_deploy import cli
from sbn_deploy.remote import program
program.PROGRAMS = Path(sys.argv[1])
sys.exit(cli.main(sys.argv[2:]))
"""


@dataclass
class FakePhone:
    """The folder that fake_adb.py works with."""

    folder: Path

    def list_devices(self, *lines: str) -> None:
        (self.folder / "devices").write_text("".join(f"{line}\n" for line in lines))

    def set_property(self, name: str, value: str) -> None:
        (self.folder / "properties" / name).write_text(f"{value}\n")

    def program(self, name: str, script: str) -> None:
        """Puts a shell script in the place of a program of the phone."""
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(stat.S_IRWXU)

    def refuse(self, text: str, file: str = "refusal") -> None:
        (self.folder / file).write_text(text)

    def cut(self) -> None:
        """Ends every adb, as when the cable is pulled."""
        for client in (self.folder / "clients").iterdir():
            with suppress(ProcessLookupError):
                os.kill(int(client.name), signal.SIGKILL)

    def left_behind(self) -> list[str]:
        end = time.monotonic() + WAIT_S
        while (found := os.listdir(self.folder / "phone")) and time.monotonic() < end:
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an installation has the program for phones."""
    need("qemu-aarch64")
    folder = tmp_path_factory.mktemp("libraries")
    shutil.copy(arm_program(), folder / "sbn_measure")
    return folder


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePhone]:
    """One phone, on which nothing may be left; with Android's own shell where that is installed."""
    folder = tmp_path / "fake"
    for name in ("phone", "bin", "clients", "properties", "root", "path"):
        (folder / name).mkdir(parents=True)
    toybox = shutil.which("toybox")
    for name in PROGRAMS:
        found = toybox or shutil.which(name)
        assert found
        (folder / "bin" / name).symlink_to(found)
    (folder / "bin" / "sh").symlink_to(shutil.which("mksh") or "/bin/sh")
    (folder / "bin" / "getprop").write_text(GETPROP.format(folder=folder))
    (folder / "bin" / "getprop").chmod(stat.S_IRWXU)
    adb = folder / "path" / "adb"
    script = Path(__file__).with_name("fake_adb.py")
    adb.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {folder} "$@"\n')
    adb.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder / 'path'}:{os.environ['PATH']}")
    monkeypatch.setattr(connection, "LOOK_S", 1)
    monkeypatch.setattr(connection, "LAST_WORDS_S", 1)
    phone = FakePhone(folder)
    phone.list_devices(f"{SERIAL}\tdevice")
    for key, value in PROPERTIES.items():
        phone.set_property(key, value)
    yield phone
    assert phone.left_behind() == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "small.onnx")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def benchmark(
    fake: FakePhone,
    model: Path,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """`sbn benchmark --remote adb:`: exit status, standard output and error."""
    monkeypatch.setattr(program, "PROGRAMS", programs)
    monkeypatch.setattr(phone, "BUSY_S", 0.01)

    def run(
        *more: str,
        remote: str = "adb:",
        path: Path = model,
        also: Path | None = None,
        runs: int | None = 9,
    ) -> tuple[int, str, str]:
        models = [str(path) for path in (path, also) if path is not None]
        words = ["benchmark", *models, "--remote", remote, "--warmup", "1"]
        words += [] if runs is None else ["--runs", str(runs)]
        status = cli.main([*words, *more])
        return status, *capfd.readouterr()

    return run


def stand_in(folder: Path, model: Path, text: str, *, outputs: bytes | None = None) -> Path:
    """The folder of a program that computes the right thing, or `outputs`, and says `text`."""
    right = b"".join(x.tobytes() for x in answers(model))
    (folder / "right").write_bytes(right if outputs is None else outputs)
    compute = f'if [ "$1" = run ]; then cat "{folder}/right" >outputs; exit; fi'
    (folder / "sbn_measure").write_text(f"#!/bin/sh\n{compute}\necho '{text}'\n")
    return folder


def answers(model: Path) -> list[Any]:
    """What a model answers here to the example that is timed."""
    twin = Twin(model)
    recording = twin.recorded()
    recording.run([], example(twin.inputs, 1))
    return recording.answers[0]


def timed(**fields: Any) -> dict[str, Any]:
    """What the program says of a phone of unlike cores."""
    place = {"isa": "neon", "version": "1", "usable": 8, "cores": [7], "before": {}, "after": {}}
    times = {"load_ns": 3_000_000, "resident_bytes": 1000, "peak_bytes": 5000, "clock_ns": 40}
    return place | times | {"ns": [1000, 1000, 1000]} | fields


def refusal(outcome: tuple[int, str, str]) -> str:
    status, output, errors = outcome
    assert status == 2, errors
    assert output == ""
    assert "Traceback" not in errors
    line = errors.splitlines()[-1]
    assert line.startswith("sbn: error: ")
    return line.removeprefix("sbn: error: ")


def test_json(benchmark: Run) -> None:
    status, output, errors = benchmark("--json", "--batch", "3")
    assert status == 0, errors
    assert f"removed {adb.FOLDER}" not in errors  # the fake's folder lies elsewhere
    assert errors.splitlines()[-1].startswith("removed ")
    record: dict[str, Any] = json.loads(output)
    (whole,) = record["results"]
    assert {name: whole[name] for name in ("engine", "threads", "batch", "runs", "sessions")} == {
        "engine": "native",
        "threads": 1,
        "batch": 3,
        "runs": 9,
        "sessions": 5,
    }
    assert 0 < whole["min_ms"] <= whole["p50_ms"]
    assert whole["start_ms"] > 0
    assert whole["overhead_us"] > 0
    assert 0 < whole["peak_bytes"] < whole["process_bytes"]
    machine = record["machine"]
    assert machine["cpu"] == "Phone 1, SM1234"
    assert machine["system"] == "Android 14"
    assert machine["isa"] in ("neon", "neon_lut2")
    assert machine["core"] in os.sched_getaffinity(0)
    assert machine["sbn_kernels"]
    assert record["before"].keys() == record["after"].keys()
    assert record["before"].keys() == machine["state"].keys()
    assert record["rule"] == RULE_OF_CORE
    assert isinstance(record["unstable"], list)
    remote = record["remote"]
    assert remote["host"] == SERIAL
    assert remote["device"] == {
        "abi": "arm64-v8a",
        "model": "Phone 1",
        "soc": "SM1234",
        "android": "14",
    }
    assert any("./sbn_measure time model0.onnx calls0-3 1 2 1 " in c for c in remote["commands"])
    assert record["remote"]["here"]["isa"] == isa()


def test_text(benchmark: Run) -> None:
    status, output, errors = benchmark(remote=f"adb:{SERIAL}", runs=50)
    assert status == 0, errors
    assert output.split()[:3] == ["engine", "threads", "batch"]
    assert output.splitlines()[-1].split()[:3] == ["native", "1", "1"]
    assert f"{SERIAL}: Phone 1, SM1234, core " in errors
    assert "onnxruntime" not in errors


def test_every_number_of_threads_and_batch(benchmark: Run) -> None:
    status, output, errors = benchmark("--json", "--threads", "1,2", "--batch", "1,4", runs=1)
    assert status == 0, errors
    record = json.loads(output)
    found = [(result["threads"], result["batch"]) for result in record["results"]]
    assert found == [(1, 1), (1, 4), (2, 1), (2, 4)]


def test_models_take_turns(benchmark: Run, tmp_path: Path) -> None:
    more = StochasticClassifier.random(2).write(tmp_path / "more.onnx")
    status, output, errors = benchmark("--json", also=more, runs=50)
    assert status == 0, errors
    record = json.loads(output)
    assert [result["model"] for result in record["results"]] == ["small", "more"]
    (ratio,) = record["ratios"]
    assert (ratio["model"], ratio["engine"]) == ("more", "native")
    assert ratio["prediction_low"] <= ratio["ratio"] <= ratio["prediction_high"]
    status, output, errors = benchmark("--compare", "native", also=more, runs=50)
    assert status == 0, errors
    assert "time against native" in output


def test_until_it_is_precise(
    benchmark: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts that agree need not be more than ten."""
    monkeypatch.setattr(program, "PROGRAMS", stand_in(tmp_path, model, json.dumps(timed())))
    status, output, errors = benchmark("--json", runs=None)
    assert status == 0, errors
    (whole,) = json.loads(output)["results"]
    assert (whole["sessions"], whole["runs"]) == (10, 30)
    assert whole["prediction_low_ms"] == whole["prediction_high_ms"] == whole["p50_ms"]


def test_until_time_is_up(benchmark: Run) -> None:
    status, output, errors = benchmark("--json", "--max-seconds", "0.5", runs=100_000)
    assert status == 0, errors
    (whole,) = json.loads(output)["results"]
    assert 0 < whole["runs"] < 100_000


def test_noise(benchmark: Run, fake: FakePhone, tmp_path: Path) -> None:
    """The noise is compared too, with the seed of the file and another one."""
    path = StochasticClassifier.random(2).write(tmp_path / "noise.onnx")
    status, output, errors = benchmark("--json", path=path)
    assert status == 0, errors
    assert "comparing what the model computes there and here" in errors
    assert json.loads(output)["models"][0]["file"] == "noise.onnx"
    assert (fake.folder / "pushes").read_text() == "sbn_measure model0.onnx calls0-1\n"


@pytest.mark.parametrize("noise", [False, True])
def test_accuracy(
    benchmark: Run,
    fake: FakePhone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    noise: bool,
) -> None:
    """Scores are those of the same images here, in as many pushes as the bytes need."""
    metadata = {"classes": ["a", "b", "c"], "preprocess": PREPROCESS, "members": 1}
    if noise:
        path = StochasticClassifier.random().write(tmp_path / "noise.onnx", samples=6)
    else:
        path = Classifier.random().write(tmp_path / "named.onnx", metadata=metadata)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (600, SIZE, SIZE, 1)).astype(np.uint8)
    labels = rng.integers(0, 3, 600)
    data = tmp_path / "set.npz"
    np.savez(data, images=images, labels=labels, test_images=images, test_labels=labels)
    monkeypatch.setattr(phone, "PUSH_BYTES", 300 * SIZE * SIZE * 4)
    status, output, errors = benchmark("--json", "--data", f"npz:{data}", path=path)
    assert status == 0, errors
    record = json.loads(output)
    expected, _ = classified(Session(path, engine="native"), images, labels)
    assert record["accuracy"] == asdict(expected)
    assert record["data"] == "npz:set.npz"
    assert record["remote"]["differing_labels"] == 0
    pushes = (fake.folder / "pushes").read_text().splitlines()
    assert pushes[1:] == ["images", "images"]


@pytest.mark.long
def test_beside_a_board(
    benchmark: Run,
    device: Device,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both run the same file, each in its engine."""
    # This phone loses patience sooner than others.
    monkeypatch.setattr(connection, "BEAT_S", 1)
    data = tmp_path / "set.npz"
    images, labels = random_images(40), np.arange(40) % 3
    np.savez(data, images=images, labels=labels, test_images=images, test_labels=labels)
    more = ("--remote", device.url, "--wheel", str(wheel), "--data", f"npz:{data}")
    status, output, errors = benchmark(*more, "-o", str(tmp_path / "fleet"), runs=12)
    assert status == 0, errors
    rows = [line.split()[:2] for line in output.splitlines()[1:3]]
    assert rows == [[SERIAL, "native"], [device.target.name, "sbn"]]
    page = tmp_path / "report.html"
    assert cli.main(["report", str(tmp_path / "fleet"), "-o", str(page)]) == 0
    compared = json.loads(page.with_suffix(".json").read_text())["devices"]
    assert {row["timing"]["engine"] for row in compared} == {"native", "sbn"}
    assert [row["differing"] for row in compared] == [0, 0]
    assert device.left_behind() == []


@pytest.mark.long
def test_sweep_on_a_phone(
    fake: FakePhone, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sbn benchmark` runs in a process of its own there."""
    monkeypatch.setattr(program, "PROGRAMS", programs)
    monkeypatch.setattr(steps, "run_verb", lambda *words, **_: cli.main([*words]))
    monkeypatch.setattr(phone, "BUSY_S", 0.01)
    checkpoint = Path(__file__).parents[2] / "models/digits-cnn/checkpoint.safetensors"
    config = tmp_path / "digits.toml"
    config.write_text(
        f'checkpoint = "{checkpoint}"\nweights = ["threshold"]\nsamples = [2]\nruns = 10\n'
        "images = 60\n"
    )
    words = ["sweep", str(config), "--out", str(tmp_path / "out"), "--remote", f"adb:{SERIAL}"]
    assert cli.main(words) == 0
    answer = load(tmp_path / "out" / f"answer-adb+{SERIAL}.json")
    assert isinstance(answer, Sweep)
    assert answer.device == f"adb:{SERIAL}"
    assert [one.engine for one in answer.candidates] == ["native", "native"]
    assert all(one.accuracy is not None for one in answer.candidates)


def test_profile(
    fake: FakePhone,
    model: Path,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The same record as of this machine, and a page of it."""
    monkeypatch.setattr(program, "PROGRAMS", programs)
    monkeypatch.setattr(phone, "BUSY_S", 0.01)
    named = onnx.load(model)
    for node in named.graph.node:
        node.name = f'"{node.output[0]}" \\ ä'  # what JSON has to escape
    onnx.save(named, model)
    output = tmp_path / "profile.json"
    words = ["profile", str(model), "--remote", "adb:", "--runs", "12", "--batch", "2"]
    assert cli.main([*words, "-o", str(output)]) == 0, capfd.readouterr().err
    shown = capfd.readouterr().out
    assert "bottleneck: " in shown
    record = json.loads(output.read_text())
    layers = {layer["name"]: layer for layer in record["layers"]}
    assert [layer["op"] for layer in record["layers"]] == ["Pack", "DenseScale", "Softmax"]
    assert layers['"logits" \\ ä']["kind"] == "binary"
    assert layers['"logits" \\ ä']["binary_macs"] == 2 * 16 * 3
    assert layers['"probabilities" \\ ä']["input_shape"] == [2, 3]
    assert all(layer["us"] >= 0 for layer in record["layers"])
    assert sum(layer["share"] for layer in record["layers"]) == pytest.approx(1)
    assert (record["threads"], record["batch"], record["runs"]) == (1, 2, 12)
    assert record["machine"]["cpu"] == "Phone 1, SM1234"
    assert record["engine"] == "native"
    assert record["peak"]["binary_macs_per_cycle"] > 0
    assert record["remote"]["host"] == SERIAL
    assert cli.main(["report", str(output), "-o", str(tmp_path / "report.html")]) == 0
    assert "Phone 1" in (tmp_path / "report.html").read_text()


def test_kernel_set(benchmark: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """SBN_ISA is meant for the phone."""
    monkeypatch.setenv("SBN_ISA", "neon_lut2")
    status, output, errors = benchmark("--json")
    assert status == 0, errors
    assert json.loads(output)["machine"]["isa"] == "neon_lut2"
    assert os.environ["SBN_ISA"] == "neon_lut2"
    monkeypatch.setenv("SBN_ISA", "avx2")
    assert refusal(benchmark()) == (
        f"{SERIAL}: sbn_measure does not run there: SBN_ISA=avx2: this CPU cannot run it"
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


def test_state_of_the_fastest_core(
    benchmark: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a phone of unlike cores tells; it became slower and hot."""
    folder, zone = "sys/devices/system/cpu/cpu7", "sys/class/thermal/thermal_zone3"
    before = {
        f"{folder}/cpufreq/scaling_governor": "schedutil",
        f"{folder}/cpufreq/scaling_cur_freq": "2841600",
        f"{folder}/cpufreq/cpuinfo_max_freq": "2841600",
        f"{folder}/regs/identification/midr_el1": "0x00000000411fd440",
        f"{zone}/temp": "61000",
        "proc/loadavg": "11.10 11.00 10.00 3/4321 9999",
    }
    after = before | {f"{folder}/cpufreq/scaling_cur_freq": "1804800", f"{zone}/temp": "85000"}
    answer = json.dumps(timed(before=before, after=after))
    monkeypatch.setattr(program, "PROGRAMS", stand_in(tmp_path, model, answer))
    status, output, errors = benchmark("--json")
    assert status == 0, errors
    record = json.loads(output)
    machine = record["machine"]
    assert (machine["core"], machine["core_name"], machine["core_max_mhz"]) == (
        7,
        "Cortex-X1",
        2841.6,
    )
    assert machine["cpu"] == "Phone 1, SM1234, Cortex-X1"
    assert (record["before"]["governor"], record["before"]["temperature_c"]) == ("schedutil", 61.0)
    (whole,) = record["results"]
    assert (whole["p50_ms"], whole["start_ms"], whole["overhead_us"]) == (0.001, 3.0, 0.04)
    assert (whole["peak_bytes"], whole["process_bytes"]) == (4000, 5000)
    assert record["unstable"] == [
        "the frequency fell from 2842 to 1805 MHz",
        "the CPU is at 85 °C",
    ]


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


def test_the_systems_own_adb(model: Path, programs: Path) -> None:
    """It finds no phone, or is not permitted to look; it says so in the words that we expect."""
    need("adb")
    listed = subprocess.run(["adb", "devices"], capture_output=True, text=True).stdout
    if "\t" in listed:
        pytest.skip("a phone is plugged in")
    words = ["-c", DRIVER, programs, "benchmark", model, "--remote"]
    for remote, said in (("adb:", "adb finds no phone"), (f"adb:{SERIAL}", "adb finds no phone")):
        done = subprocess.run([sys.executable, *words, remote], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(f"sbn: error: {said}")
    pushed = subprocess.run(
        ["adb", "-s", SERIAL, "push", model, "/data"], capture_output=True, text=True
    )
    assert pushed.returncode != 0
    assert f"device '{SERIAL}' not found" in pushed.stdout + pushed.stderr


def test_program_is_elf(programs: Path) -> None:
    assert (programs / "sbn_measure").read_bytes()[:4] == ELF
