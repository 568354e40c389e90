"""What is measured with `--remote adb:` on a phone that is a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sbn_deploy import cli
from sbn_deploy.benchmark.stability import RULE_OF_CORE
from sbn_deploy.evaluate.scores import classified
from sbn_deploy.records.files import load
from sbn_deploy.records.sweep import Sweep
from sbn_deploy.remote import adb, connection, phone, program
from sbn_deploy.sweep import steps
from sbn_runtime import Session, isa

from ..packaging.native import need
from ..small_models import (
    PREPROCESS,
    SIZE,
    Classifier,
    StochasticClassifier,
    random_images,
)
from .conftest import Device
from .fake_adb import ELF
from .fake_phone import (
    DRIVER,
    SERIAL,
    FakePhone,
    Run,
    refusal,
    stand_in,
    timed,
)


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
