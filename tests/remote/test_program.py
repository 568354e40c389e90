"""The program for phones, under qemu: every operator, figures, files that it must refuse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_converters import ops
from sbn_deploy.engines.engine import example
from sbn_deploy.profile.node_times import random_signs
from sbn_deploy.profile.peak import peak_model
from sbn_deploy.remote.calls import Recording, check_outputs, read_outputs, write_calls
from sbn_runtime.engines.native import Native

from ..packaging.arm import CORES
from ..packaging.native import arm_program, need
from ..sampled import few
from ..small_models import StochasticClassifier
from . import every_operator

TIME = ("1", "3", "2", "0", "1000")  # threads, runs, warm-up, busy, limit


@dataclass(frozen=True)
class Files:
    """A model, calls of it, and what it computes here."""

    model: Path
    calls: Path
    here: Recording


@pytest.fixture(scope="module")
def program() -> Path:
    need("qemu-aarch64")
    return arm_program()


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("every")
    feeds = every_operator.write(folder / "every.onnx")
    recording = Recording(Native(folder / "every.onnx", threads=1))
    recording.run([], feeds)
    write_calls(folder / "calls", recording.calls)
    return Files(folder / "every.onnx", folder / "calls", recording)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Numbers are given in the second call, and left to the file in the others."""
    folder = tmp_path_factory.mktemp("noise")
    path = StochasticClassifier.random(2).write(folder / "noise.onnx")
    recording = Recording(Native(path, threads=1))
    feeds = example(recording.inputs, 3)
    numbers = {"seed": np.array(5), "samples": np.array(7), "first_sample": np.array(2)}
    for call in (feeds, feeds | numbers, feeds):
        recording.run([], call)
    write_calls(folder / "calls", recording.calls)
    return Files(path, folder / "calls", recording)


def run(
    program: Path, *words: str | Path, core: str = CORES[0], root: str = "/"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["qemu-aarch64", "-L", root, "-cpu", core, program, *words],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error."""
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("isa", "core"), few(product(["", "scalar", "neon", "neon_lut2"], CORES), 4)
)
def test_every_operator(
    program: Path,
    every: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    core: str,
    isa: str,
) -> None:
    monkeypatch.setenv("SBN_ISA", isa)
    words = ("run", every.model, every.calls, "2", tmp_path / "outputs")
    found = answer(run(program, *words, core=core))
    assert found["isa"] in ([isa] if isa else ["neon", "neon_lut2"])
    there = read_outputs(tmp_path / "outputs", every.here.answers)
    assert set(ops.BY_NAME) == {y.name.split("_")[0] for y in every.here.outputs}
    check_outputs("phone", every.here.outputs, every.here.answers, there)


def test_numbers(program: Path, noise: Files, tmp_path: Path) -> None:
    first, other, again = noise.here.answers
    assert not np.array_equal(first[1], other[1])
    assert np.array_equal(first[1], again[1])
    answer(run(program, "run", noise.model, noise.calls, "1", tmp_path / "outputs"))
    there = read_outputs(tmp_path / "outputs", noise.here.answers)
    check_outputs("phone", noise.here.outputs, noise.here.answers, there)


@pytest.mark.parametrize("threads", [1, 2])
def test_times(program: Path, noise: Files, threads: int) -> None:
    found = answer(run(program, "time", noise.model, noise.calls, str(threads), *TIME[1:]))
    usable = len(os.sched_getaffinity(0))
    assert found["usable"] == usable
    assert len(set(found["cores"])) == min(threads, usable)
    assert len(found["ns"]) == 3
    assert min(found["ns"]) > 0
    assert found["load_ns"] > 0
    assert 0 < found["resident_bytes"] <= found["peak_bytes"]
    assert found["before"].keys() == found["after"].keys()


def test_no_call_begins_when_time_is_up(program: Path, noise: Files) -> None:
    words = ("1", "1000000", "1000000", "0", "1")
    found = answer(run(program, "time", noise.model, noise.calls, *words))
    assert 1 <= len(found["ns"]) < 1_000_000


def test_nodes(program: Path, noise: Files, tmp_path: Path) -> None:
    """Those that compute something, in their order, with the shapes of the call."""
    (tmp_path / "peak.onnx").write_bytes(peak_model())
    peak = Native(tmp_path / "peak.onnx", threads=1)
    write_calls(tmp_path / "peak", [random_signs(peak.inputs)])
    more = ("1", "12", "0", tmp_path / "peak.onnx", tmp_path / "peak")
    found = answer(run(program, "profile", noise.model, noise.calls, *more))
    layers = found["layers"]
    assert [layer["op"] for layer in layers] == [
        *("Mul", "Round", "Cast"),
        *("StochasticSign", "DenseScale") * 2,
        *("Concat", "Softmax", "ReduceMean"),
    ]
    assert layers[0]["inputs"] == [[3, 16], []]
    assert layers[-1]["outputs"] == [[3, 3]]
    assert (layers[0]["tensor_bytes"], layers[0]["constant_bytes"]) == (2 * 3 * 16 * 4, 4)
    assert {len(layer["ns"]) for layer in layers} == {12}
    assert min(min(layer["ns"]) for layer in layers) > 0
    assert len(found["call_ns"]) == len(found["peak_ns"]) == 12
    assert len(found["ghz"]) == 2
    assert min(found["ghz"]) > 0


@pytest.mark.parametrize(
    ("isa", "why"), [("avx2", "this CPU cannot run it"), ("fast", "there is no such kernel set")]
)
def test_kernels_that_there_are_not(
    program: Path, noise: Files, monkeypatch: pytest.MonkeyPatch, isa: str, why: str
) -> None:
    monkeypatch.setenv("SBN_ISA", isa)
    done = run(program, "time", noise.model, noise.calls, *TIME)
    assert refusal(done) == f"SBN_ISA={isa}: {why}"


@pytest.mark.parametrize("threads", [1, 2])
def test_fastest_cores(program: Path, noise: Files, tmp_path: Path, threads: int) -> None:
    """Those with the highest frequency are taken, and their state told; not that of others."""
    usable = sorted(os.sched_getaffinity(0))
    root = tmp_path / "root"
    contents = {
        "sys/class/thermal/thermal_zone0/type": "battery",
        "sys/class/thermal/thermal_zone0/temp": "31000",
        "sys/class/thermal/thermal_zone12/type": 'cpu-1-0-"usr"',
        "sys/class/thermal/thermal_zone12/temp": "45600",
        "sys/class/thermal/thermal_zone12/trip_point_0_type": "passive",
        "sys/class/thermal/thermal_zone12/trip_point_0_temp": "95000",
    }
    for core in usable:
        folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
        contents[f"{folder}/cpuinfo_max_freq"] = "2400000" if core == usable[0] else "1800000"
        contents[f"{folder}/scaling_governor"] = f"governor{core}"
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    words = ("time", noise.model, noise.calls, str(threads), *TIME[1:])
    found = answer(run(program, *words, root=str(root)))
    chosen = [usable[0], *usable[:0:-1]][:threads]
    assert found["cores"] == chosen
    assert found["usable"] == len(usable)
    told = found["before"]
    for core in chosen:
        governor = f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
        assert told[governor] == f"governor{core}"
    assert told["sys/class/thermal/thermal_zone12/temp"] == "45600"
    assert told["sys/class/thermal/thermal_zone12/trip_point_0_type"] == "passive"
    assert not any("zone0" in path for path in told)
    others = {f"cpu{core}" for core in usable if core not in chosen}
    assert not any(others & set(path.split("/")) for path in told)


def damaged(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"", "it ends too early"),
        (lambda data: b"PK" + data[2:], "it begins otherwise"),
        (lambda data: damaged(data, b"\3\0\0\0\0\0\0\0", bytes(8)), "there are none"),
        (lambda data: damaged(data, b"input", b"imput"), "it has other inputs"),
        (lambda data: damaged(data, b"\xc0\0\0\0", b"\xc4\0\0\0"), "an input has another size"),
        (lambda data: data[:16] + b"\4" + data[17:], "an input has another size"),
        (lambda data: data[:24] + bytes(8) + data[32:], "input 'input' was not given"),
        (lambda data: data[:712] + b"\x09" + bytes(15), "input 'input' was not given"),
        (lambda data: data[:-200], "it ends too early"),
    ],
)
def test_calls_that_are_refused(
    program: Path, noise: Files, tmp_path: Path, change: Any, why: str
) -> None:
    (tmp_path / "calls").write_bytes(change(noise.calls.read_bytes()))
    done = run(program, "run", noise.model, tmp_path / "calls", "1", tmp_path / "outputs")
    assert why in refusal(done)


def test_random_damage(program: Path, noise: Files, tmp_path: Path) -> None:
    """Anything but a crash."""
    rng = np.random.default_rng(0)
    calls = noise.calls.read_bytes()
    for _ in range(12):
        broken = bytearray(calls[: int(rng.integers(100, len(calls) + 1))])
        broken[int(rng.integers(0, 96))] = int(rng.integers(0, 256))
        (tmp_path / "calls").write_bytes(broken)
        done = run(program, "run", noise.model, tmp_path / "calls", "1", tmp_path / "outputs")
        assert done.returncode in (0, 2), done


def test_model_that_is_refused(program: Path, noise: Files, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(noise.model.read_bytes()[:-1])
    said = refusal(run(program, "time", path, noise.calls, *TIME))
    assert said.startswith(f"{path}: ")
    path.unlink()
    said = refusal(run(program, "time", path, noise.calls, *TIME))
    assert said == f"{path}: No such file or directory"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("time", "m", "c", "1", "1", "1", "1"), "usage: sbn_measure run MODEL CALLS THREADS"),
        (("tell", "m", "c", "1", "o"), "usage: "),
        ((), "usage: "),
        (("run", "m", "c", "0", "o"), "0: must be a number from 1 to 256"),
        (("run", "m", "c", "x", "o"), "x: must be a number from 1 to 256"),
        (("run", "m", "missing", "1", "o"), "missing: No such file or directory"),
    ],
)
def test_usage(program: Path, words: tuple[str, ...], said: str) -> None:
    assert refusal(run(program, *words)).startswith(said)


def test_needs_no_other_file(program: Path) -> None:
    """Static, and aligned for pages of 16 KB."""
    readelf = shutil.which("aarch64-linux-gnu-readelf")
    if readelf is None:
        pytest.skip("aarch64-linux-gnu-readelf is not installed")
    said = subprocess.run([readelf, "-lW", program], capture_output=True, text=True).stdout
    loads = [line.split() for line in said.splitlines() if line.strip().startswith("LOAD")]
    assert "INTERP" not in said
    assert "DYNAMIC" not in said
    assert loads
    for load in loads:
        assert int(load[-1], 16) % 0x4000 == 0
        assert "WE" not in "".join(load[6:-1])
