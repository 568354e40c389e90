"""The program for phones, under qemu: every operator, and plans that it must refuse."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_converters import ops
from sbn_deploy.remote.plan import make_plan

from ..packaging.arm import CORES
from ..packaging.native import arm_program, need
from ..sampled import few
from . import every_operator

HEADER = len("sbnplan1") + 16


@pytest.fixture(scope="module")
def program() -> Path:
    need("qemu-aarch64")
    return arm_program()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("every") / "every.onnx"
    made = make_plan(path, every_operator.write(path))
    assert [operator.op for operator in made.timed] == [f"sbn.{name}" for name in ops.BY_NAME]
    assert [operator.op for operator in made.not_timed] == ["Relu"]
    return made.data


def run(
    program: Path, plan: bytes, folder: Path, *more: str, core: str = CORES[0], root: str = "/"
) -> subprocess.CompletedProcess[str]:
    (folder / "plan").write_bytes(plan)
    return subprocess.run(
        ["qemu-aarch64", "-L", root, "-cpu", core, program, folder / "plan", *(more or ("2", "1"))],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error; progress may precede it."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("isa", "core"), few(product(["", "scalar", "neon", "neon_lut2"], CORES), 4)
)
def test_every_operator(
    program: Path,
    plan: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    core: str,
    isa: str,
) -> None:
    monkeypatch.setenv("SBN_ISA", isa)
    found = answer(run(program, plan, tmp_path, core=core))
    assert found["isa"] in ([isa] if isa else ["neon", "neon_lut2"])
    assert len(found["layers"]) == len(ops.BY_NAME)
    for layer in found["layers"]:
        assert layer["agree"]
        assert layer["expected"]
        assert len(layer["ns"]) == 2
        assert min(layer["ns"]) > 0


@pytest.mark.parametrize(
    ("isa", "why"), [("avx2", "this CPU cannot run it"), ("fast", "there is no such kernel set")]
)
def test_kernels_that_there_are_not(
    program: Path,
    plan: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    isa: str,
    why: str,
) -> None:
    monkeypatch.setenv("SBN_ISA", isa)
    assert refusal(run(program, plan, tmp_path)) == f"SBN_ISA={isa}: {why}"


def test_other_bits_than_expected(program: Path, plan: bytes, tmp_path: Path) -> None:
    """As from a wrong kernel there: what the first operator writes is expected otherwise."""
    (_, tensors, _), at = struct.unpack_from("<8sqq", plan), HEADER
    changed = bytearray(plan)
    for _ in range(tensors):
        origin, kind, rank = struct.unpack_from("<3q", plan, at)
        shape = struct.unpack_from(f"<{rank}q", plan, at + 24)
        at += 24 + 8 * rank
        if origin == 0:
            changed[at] ^= 1
            break
        size = {1: 4, 2: 1, 3: 1, 5: 2, 6: 4, 7: 8, 13: 8}[kind] * int(np.prod(shape))
        at += -at % 64 + size
    layers = answer(run(program, bytes(changed), tmp_path))["layers"]
    assert sum(not layer["expected"] for layer in layers) == 1
    assert all(layer["agree"] for layer in layers)


def test_fastest_core(program: Path, plan: bytes, tmp_path: Path) -> None:
    """The core with the highest frequency is taken, and its state told; not that of others."""
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
    found = answer(run(program, plan, tmp_path, root=str(root)))
    assert found["core"] == usable[0]
    assert found["cores"] == len(usable)
    told = found["before"]
    assert told[f"sys/devices/system/cpu/cpu{usable[0]}/cpufreq/scaling_governor"] == (
        f"governor{usable[0]}"
    )
    assert told["sys/class/thermal/thermal_zone12/temp"] == "45600"
    assert told["sys/class/thermal/thermal_zone12/trip_point_0_type"] == "passive"
    assert not any("zone0" in path for path in told)
    others = {f"cpu{core}" for core in usable[1:]}
    assert not any(others & set(path.split("/")) for path in told)


def damaged(plan: bytes, old: bytes, new: bytes) -> bytes:
    assert old in plan
    return plan.replace(old, new, 1)


def with_number(plan: bytes, at: int, number: int) -> bytes:
    return plan[:at] + struct.pack("<q", number) + plan[at + 8 :]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda plan: b"", "it ends too early"),
        (lambda plan: b"PK" + plan[2:], "it begins otherwise"),
        (lambda plan: plan + b"\0", "it goes on after its end"),
        (lambda plan: with_number(plan, 8, 1 << 40), "too many tensors"),
        (lambda plan: with_number(plan, 16, -1), "too many operators"),
        (lambda plan: with_number(plan, HEADER, 3), "a tensor of unknown origin"),
        (lambda plan: with_number(plan, HEADER + 8, 8), "an unknown type"),
        (lambda plan: with_number(plan, HEADER + 16, 9), "a tensor of too many dimensions"),
        (lambda plan: with_number(plan, HEADER + 24, 1 << 62), "a tensor of impossible size"),
        (lambda plan: with_number(plan, HEADER + 24, 1 << 29), "a tensor of impossible size"),
        (lambda plan: with_number(plan, HEADER + 24, -1), "a tensor of impossible size"),
        (lambda plan: damaged(plan, b"one/MaxPool\0", b"one/Max\0ool\0"), "a text is broken"),
        (
            lambda plan: damaged(plan, b"FloatMaxPool\0", b"FloatMinPool\0"),
            "there is no such operator",
        ),
        (lambda plan: damaged(plan, b"PackThreshold\0", b"DenseResidual\0"), "has other inputs"),
        (lambda plan: damaged(plan, b"kernel_shape\0", b"kernel_sharp\0"), "is missing or no list"),
    ],
)
def test_plans_that_are_refused(
    program: Path, plan: bytes, tmp_path: Path, change: Any, why: str
) -> None:
    assert why in refusal(run(program, change(plan), tmp_path))


def test_truncated_plans(program: Path, plan: bytes, tmp_path: Path) -> None:
    for size in np.linspace(0, len(plan) - 1, 25).astype(int):
        assert "it ends too early" in refusal(run(program, plan[:size], tmp_path))


def test_random_damage(program: Path, plan: bytes, tmp_path: Path) -> None:
    """Anything but a crash: most bytes are data, the last ones say what the operators are."""
    rng = np.random.default_rng(0)
    for _ in range(12):
        broken = bytearray(plan)
        broken[len(plan) - int(rng.integers(1, 6000))] = int(rng.integers(0, 256))
        done = run(program, bytes(broken), tmp_path, "1", "0")
        assert done.returncode in (0, 2), done


@pytest.mark.parametrize("more", [("0", "1"), ("1", "-1"), ("x", "1"), ("1000001", "1"), ("1",)])
def test_usage(program: Path, plan: bytes, tmp_path: Path, more: tuple[str, ...]) -> None:
    assert refusal(run(program, plan, tmp_path, *more))


def test_no_plan(program: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["qemu-aarch64", program, tmp_path / "none", "1", "1"], capture_output=True, text=True
    )
    assert refusal(done) == f"{tmp_path / 'none'}: No such file or directory"


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
