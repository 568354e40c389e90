"""`sbn benchmark --remote` from beginning to end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from sbn_deploy.benchmark.stability import RULE
from sbn_deploy.cli import main
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.files import load
from sbn_deploy.remote import wheels
from sbn_runtime import isa

from ..command import COMMAND, Outcome, sbn
from ..sampled import few
from ..small_models import Classifier, random_images
from .conftest import Device


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "small.onnx")


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A data set of which half the labels are right."""
    images, labels = random_images(40), np.arange(40) % 3
    np.savez(
        tmp_path / "data.npz",
        images=images,
        labels=labels,
        test_images=images,
        test_labels=labels,
    )
    return f"npz:{tmp_path / 'data.npz'}"


@pytest.fixture
def there(device: Device, wheel: Path) -> Iterator[Device]:
    """The device; nothing may be left on it."""
    yield device
    assert device.left_behind() == []


def benchmark(device: Device, model: Path, wheel: Path, *more: str) -> Outcome:
    arguments = ("benchmark", model, "--remote", device.url, "--wheel", wheel)
    return sbn(*arguments, "--runs", "2", "--max-seconds", "1000", *more)


@pytest.fixture
def changed(
    there: Device,
    model: Path,
    wheel: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Outcome]:
    """Measures with a wheel of which a module was changed, which is not noticed."""
    monkeypatch.setattr(wheels, "difference", lambda _: "")

    def measure(module: str, old: str, new: str, *more: str) -> Outcome:
        other = edited(wheel, tmp_path, module, old, new)
        arguments = ("benchmark", model, "--remote", there.url, "--wheel", other)
        words = [*arguments, "--runs", "2", "--max-seconds", "1000", *more]
        status = main([str(word) for word in words])
        return Outcome(status, *capsys.readouterr())

    return measure


def edited(wheel: Path, folder: Path, module: str, old: str, new: str) -> Path:
    """A copy of the wheel with a measuring module changed."""
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            content = source.read(name).decode(errors="surrogateescape")
            if name == f"sbn_deploy/{module}.py":
                assert old in content
                content = content.replace(old, new)
            target.writestr(name, content.encode(errors="surrogateescape"))
    return copy


def test_json(there: Device, model: Path, wheel: Path, data: str) -> None:
    outcome = benchmark(there, model, wheel, "--batch", "3", "--data", data, "--json")
    assert outcome.status == 0, outcome
    record = outcome.json
    found = [
        (result["model"], result["engine"], result["batch"], result["runs"])
        for result in record["results"]
    ]
    assert found == [("small", "sbn", 3, 2)]
    assert record["models"][0]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert record["machine"]["isa"] == isa()
    assert record["machine"]["sbn_deploy"] == "0.0.0"
    assert record["machine"]["cpu"] == record["remote"]["here"]["cpu"]
    assert record["before"].keys() == record["after"].keys()
    assert record["before"].keys() == record["machine"]["state"].keys()
    assert record["rule"] == RULE
    assert isinstance(record["unstable"], list)
    assert record["accuracy"]["samples"] == 40
    assert record["remote"]["differing_labels"] == 0
    assert "labels" not in record
    remote = record["remote"]
    assert (remote["host"], remote["program"]) == (there.target.name, wheel.name)
    assert remote["device"]["packages"] is True
    assert any("sbn_deploy.remote.device" in command for command in remote["commands"])


@pytest.mark.long
def test_text(there: Device, model: Path, wheel: Path, data: str) -> None:
    outcome = benchmark(there, model, wheel, "--data", data, "--images", "7")
    assert outcome.status == 0, outcome
    assert outcome.stdout.splitlines()[1].split()[0] == "sbn"
    assert "of 7 images" in outcome.stdout
    assert "labels that differ from those found here: 0" in outcome.stdout
    steps = [line.split(": ")[-1] for line in outcome.stderr.splitlines()]
    for said in (
        "connecting to",
        "copying",
        "creating a virtual",
        "installing",
        "small in sbn",
    ):
        assert any(step.startswith(said) for step in steps), outcome.stderr
    assert any(step.startswith("removed ") for step in steps)


@pytest.mark.long
def test_here_and_there_agree(there: Device, model: Path, wheel: Path, data: str) -> None:
    """The same entries come from here, but for those about the device."""
    here = sbn("benchmark", model, "--runs", "2", "--data", data, "--json").json
    away = benchmark(there, model, wheel, "--data", data, "--json").json
    assert away.keys() == here.keys()
    assert here["remote"] is None
    assert here["accuracy"] == away["accuracy"]
    assert here["machine"].keys() == away["machine"].keys()


@pytest.mark.long
def test_labels_that_differ_are_counted(changed: Callable[..., Outcome], data: str) -> None:
    """A wheel that answers otherwise: each label is the next one."""
    edit = ("evaluate/scores", ", probabilities.argmax(axis=1)", ", labels - 3")
    outcome = changed(*edit, "--data", data, "--json")
    assert outcome.json["remote"]["differing_labels"] == 40


@pytest.mark.long
def test_baselines_are_made_here_and_run_there(there: Device, wheel: Path, tmp_path: Path) -> None:
    model = tmp_path / "digits.onnx"
    assert sbn("export", "--untrained", "digits-cnn", "-o", model).status == 0
    outcome = benchmark(there, model, wheel, "--compare", "native,fp32,int8", "--json")
    assert outcome.status == 0, outcome
    timings = outcome.json["results"]
    engines = ["sbn", "native", "onnxruntime-fp32", "onnxruntime-int8"]
    assert [timing["engine"] for timing in timings] == engines
    assert {timing["runs"] for timing in timings} == {2}
    assert all(timing["p50_ms"] > 0 for timing in timings)


def test_no_python(there: Device, model: Path, wheel: Path) -> None:
    (there.programs / "python3").unlink()
    line = benchmark(there, model, wheel).refused_after_progress()
    assert line.startswith(f"{there.target.name}: there is no python3; install it")


def test_broken_python(there: Device, model: Path, wheel: Path) -> None:
    there.program("python3", "echo cannot load libpython >&2; exit 127")
    line = benchmark(there, model, wheel).refused_after_progress()
    assert line == f"{there.target.name}: python3 does not run there: cannot load libpython"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", [3, 9, 2], "has Python 3.9.2; 3.11 or newer is needed"),
        ("venv", False, "has neither pip nor venv"),
        ("bits", 32, "runs 32-bit programs on"),
        ("runs", False, "(it is mounted with noexec); name another folder, as ssh://"),
        ("machine", "riscv64", "the device runs riscv64 programs"),
        ("machine", "other", "is for"),
    ],
)
def test_unfit_python(
    there: Device, model: Path, wheel: Path, field: str, value: object, message: str
) -> None:
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[wheel.stem.partition("linux_")[2]]
    answer = {
        "python": "python3",
        "version": [3, 11, 2],
        "machine": "x86_64",
        "bits": 64,
        "system": "Linux",
        "pip": False,
        "venv": True,
        "packages": True,
        "runs": True,
    } | {field: other if value == "other" else value}
    there.program("python3", f"cat >/dev/null; echo '{json.dumps(answer)}'")
    assert message in benchmark(there, model, wheel).refused_after_progress()


@pytest.mark.long
def test_missing_packages_without_a_network(there: Device, model: Path, wheel: Path) -> None:
    """A Python without numpy, where pip finds no index."""
    (there.programs / "python3").write_text(
        (there.programs / "python3").read_text().replace("/packages", "/nothing")
    )
    line = benchmark(there, model, wheel).refused_after_progress()
    assert line.startswith(f"{there.target.name}: numpy and onnxruntime cannot be installed")
    assert "No matching distribution" in line


def test_too_little_space(there: Device, model: Path, wheel: Path) -> None:
    there.program("df", "echo 'tmpfs 9000 8000 1000 89% /'")
    line = benchmark(there, model, wheel).refused_after_progress()
    assert f"1 MB are free in {there.folder}" in line
    assert "name another folder" in line


def test_folder_that_cannot_be_written_to(there: Device, model: Path, wheel: Path) -> None:
    arguments = ("--remote", f"{there.url}/none", "--wheel", str(wheel))
    line = sbn("benchmark", model, *arguments).refused_after_progress()
    assert f"{there.target.name}: cannot make a folder in {there.folder}/none" in line


@pytest.mark.long
def test_measuring_that_fails_there(there: Device, changed: Callable[..., Outcome]) -> None:
    fails = 'raise SbnError("so\\nit is"); record = measure'
    line = changed("remote/device", "record = measure", fails).refused_after_progress()
    assert line == f"{there.target.name}: measuring failed: so it is"


@pytest.mark.long
def test_answer_of_another_form(changed: Callable[..., Outcome], wheel: Path) -> None:
    edit = ("remote/device", "asdict(run_job(folder))", '{"benchmark": {}}')
    line = changed(*edit).refused_after_progress()
    assert f"{wheel.name} answers in an unknown form" in line


def test_wheel_of_other_code(there: Device, model: Path, wheel: Path, tmp_path: Path) -> None:
    """It is said before anything is done."""
    other = edited(wheel, tmp_path, "remote/device", "Does the job", "Did the job")
    line = benchmark(there, model, other).refused()
    assert "was built from other code than this (sbn_deploy/remote/device.py differs)" in line


@pytest.mark.parametrize("number", few([signal.SIGINT, signal.SIGTERM, signal.SIGKILL], 1))
def test_cancelled(there: Device, model: Path, wheel: Path, number: signal.Signals) -> None:
    arguments = ("benchmark", model, "--remote", there.url, "--wheel", wheel)
    # A short path: the socket of ssh lies in it. Who is killed cannot remove that.
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as temporary,
        subprocess.Popen(
            [*COMMAND, *map(str, arguments), "--runs", "1000000000", "--max-seconds", "1000"],
            env=os.environ | {"TMPDIR": temporary},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr
        for line in process.stderr:
            if "batch 1: small in sbn" in line:
                break
        process.send_signal(number)
        out, lines = process.communicate(timeout=60)
    assert out == ""
    assert there.left_behind() == []
    if number == signal.SIGINT:
        assert process.returncode == 130
        removed, last = lines.splitlines()
        assert removed.startswith("removed ")
        assert last == "sbn: error: interrupted"


@pytest.mark.parametrize("wheels", few([0.5, 1.5], 1))
def test_disk_full(there: Device, model: Path, wheel: Path, wheels: float) -> None:
    """A small file system: too small for the copies, or for what is installed."""
    size = f"size={round(wheel.stat().st_size * wheels)}"
    mounting = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(there.folder)]
    if os.geteuid() or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system here")
    try:
        # At first it says that there is enough.
        df, stamp = there.programs / "real-df", there.programs.parent / "asked"
        (there.programs / "df").rename(df)
        plenty = "echo 'tmpfs 9000000 0 9000000 0% /'"
        there.program("df", f'[ -e {stamp} ] && exec {df} "$@"; cat </dev/null >{stamp}; {plenty}')
        line = benchmark(there, model, wheel).refused_after_progress()
        assert line.startswith(f"{there.target.name}: the disk is full; free some space")
        assert there.left_behind() == []
    finally:
        subprocess.run(["umount", there.folder], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--remote", "pi@raspberrypi"], "'pi@raspberrypi' is not a device address; write ssh://"),
        (["--remote", "adb:", "--wheel", "a.whl"], "--wheel does not go with --remote adb:"),
        (["--remote", "ssh://host", "--compare", "lce"], "lce runs on this machine only"),
        (["--wheel", "some.whl"], "--wheel needs --remote"),
        (["--remote-python", "python3.12"], "--remote-python needs --remote"),
        (["--images", "3"], "--images goes with --data"),
    ],
)
def test_unfit_options(model: Path, arguments: list[str], message: str) -> None:
    assert message in sbn("benchmark", model, *arguments).refused_after_progress()


@pytest.mark.long
def test_several_models(there: Device, model: Path, wheel: Path, tmp_path: Path) -> None:
    second = Classifier.random(seed=1).write(tmp_path / "second.onnx")
    arguments = ("benchmark", model, second, "--remote", there.url, "--wheel", wheel)
    outcome = sbn(*arguments, "--runs", "10", "--max-seconds", "1000", "--json")
    assert outcome.status == 0, outcome
    assert [result["model"] for result in outcome.json["results"]] == ["small", "second"]
    assert len(outcome.json["ratios"]) == 1


@pytest.mark.long
def test_profile(there: Device, model: Path, wheel: Path) -> None:
    arguments = ("profile", model, "--remote", there.url, "--wheel", wheel, "--runs", "10")
    outcome = sbn(*arguments, "--json")
    assert outcome.status == 0, outcome
    record = outcome.json
    here = sbn("profile", model, "--runs", "10", "--json").json
    assert [layer["name"] for layer in record["layers"]] == [
        layer["name"] for layer in here["layers"]
    ]
    assert record["machine"]["sbn_deploy"] == "0.0.0"
    assert record["remote"]["host"] == there.target.name
    assert sum(layer["us"] for layer in record["layers"]) <= record["call_us"] * (1 + 1e-9)


@pytest.mark.long
def test_another_python(there: Device, model: Path, wheel: Path) -> None:
    """One that is not on the path, with a space in its name."""
    place = there.programs.parent / "my python"
    (there.programs / "python3").rename(place)
    line = benchmark(there, model, wheel).refused_after_progress()
    assert line.endswith("or name another one with --remote-python")
    outcome = benchmark(there, model, wheel, "--remote-python", str(place), "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["remote"]["device"]["python"] == str(place)


@pytest.mark.long
@pytest.mark.parametrize("setting", ["user = true", "target = {home}/t", "log = {home}/l"])
def test_settings_of_pip(there: Device, model: Path, wheel: Path, setting: str) -> None:
    """They may say where packages come from, but not that they stay."""
    settings = there.home / ".config/pip/pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\n{setting.format(home=there.home)}\n")
    outcome = benchmark(there, model, wheel)
    assert outcome.status == 0, outcome
    shutil.rmtree(there.home / ".config")


@pytest.mark.long
def test_constants_in_a_file_of_their_own(
    there: Device, model: Path, wheel: Path, tmp_path: Path
) -> None:
    proto = onnx.load(model)
    folder = tmp_path / "external"
    folder.mkdir()
    place = {"all_tensors_to_one_file": True, "location": "data.bin", "size_threshold": 0}
    onnx.save(proto, folder / "large.onnx", save_as_external_data=True, **place)
    assert (folder / "data.bin").stat().st_size
    outcome = benchmark(there, folder / "large.onnx", wheel)
    assert outcome.status == 0, outcome
    (folder / "data.bin").unlink()
    line = benchmark(there, folder / "large.onnx", wheel).refused()
    assert "data.bin" in line


@pytest.mark.long
def test_sweep(there: Device, wheel: Path, tmp_path: Path) -> None:
    """Accuracy is measured here, latency there; each device has times of its own."""
    checkpoint = Path(__file__).parents[2] / "models/digits-cnn/checkpoint.safetensors"
    config = tmp_path / "digits.toml"
    config.write_text(
        f'checkpoint = "{checkpoint}"\nmembers = [1]\nsamples = [2]\nruns = 10\nimages = 60\n'
    )
    words = ("sweep", config, "--out", tmp_path / "out", "--remote", there.url, "--wheel", wheel)
    outcome = sbn(*words)
    assert outcome.status == 0, outcome
    assert "ship " in outcome.stdout
    (times,) = (tmp_path / "out/benchmarks").glob("*.json")
    record = load(times)
    assert isinstance(record, Benchmark)
    assert record.remote is not None
    assert len(record.models) == 4
    assert "done before" in sbn(*words).stderr
