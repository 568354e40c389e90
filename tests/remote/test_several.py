"""Several `--remote`: devices that are measured at the same time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.files import load
from sbn_deploy.remote import connection
from sbn_deploy.remote.destination import destinations
from sbn_deploy.remote.target import Target, file_name, parse
from sbn_deploy.remote.together import at_once
from sbn_runtime import InputError, RemoteError, SbnError

from ..command import COMMAND, sbn
from ..small_models import Classifier, random_images
from .conftest import Device, running

CHECKPOINT = Path(__file__).parents[2] / "models/digits-cnn/checkpoint.safetensors"

NOWHERE = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "small.onnx")


@pytest.fixture
def both(device: Device, scalar_device: Device) -> Iterator[tuple[Device, Device]]:
    """Two devices with kernels of their own; nothing may be left on them."""
    yield device, scalar_device
    assert device.left_behind() == scalar_device.left_behind() == []


@pytest.fixture
def hanging(keys: Path, packages: Path, tmp_path: Path) -> Iterator[Device]:
    """A third one, which gets no further than its virtual environment."""
    folder = tmp_path / "hanging"
    folder.mkdir()
    with running(keys, folder, packages) as found:
        python = (found.programs / "python3").read_text().partition("\n")[2]
        hang = f'[ "$1 $2" = "-m venv" ] && : >{folder}/reached && exec sleep 600\n'
        found.program("python3", hang + python)
        yield found
        assert found.left_behind() == []


def remotes(*devices: Device) -> list[str]:
    return [word for device in devices for word in ("--remote", device.url)]


def test_one_that_falls_away_leaves_the_others_alone(
    scalar_device: Device, hanging: Device, model: Path, wheel: Path, tmp_path: Path
) -> None:
    def pull_the_plug() -> None:
        while not (tmp_path / "hanging" / "reached").exists():
            time.sleep(0.05)
        hanging.cut()

    plug = Thread(target=pull_the_plug)
    plug.start()
    fleet = tmp_path / "fleet"
    outcome = sbn(
        *("benchmark", model, *remotes(hanging, scalar_device), "--wheel", wheel, "-o", fleet),
        *("--runs", "10", "--max-seconds", "1000", "--json"),
    )
    plug.join()
    assert scalar_device.left_behind() == []
    assert outcome.status == 2, outcome
    lost, other = hanging.target.name, scalar_device.target.name
    lines = outcome.stderr.splitlines()
    (said,) = (line for line in lines if line.startswith(f"{lost} failed: "))
    assert f"the connection to {lost} was lost" in said
    assert lines[-1] == f"sbn: error: not measured: {lost}; the others are complete"
    (record,) = outcome.json
    assert (record["remote"]["host"], record["machine"]["isa"]) == (other, "scalar")
    (file,) = fleet.iterdir()
    assert file.name == f"{file_name(other)}.json"
    assert json.loads(file.read_text()) == record


@pytest.mark.long
def test_devices_are_compared(
    both: tuple[Device, Device], model: Path, wheel: Path, tmp_path: Path
) -> None:
    """The same answers, in kernels of their own."""
    images, labels = random_images(40), np.arange(40) % 3
    data, fleet = tmp_path / "data.npz", tmp_path / "fleet"
    np.savez(data, images=images, labels=labels, test_images=images, test_labels=labels)
    outcome = sbn(
        *("benchmark", model, *remotes(*both), "--wheel", wheel, "-o", fleet),
        *("--runs", "10", "--max-seconds", "1000", "--data", f"npz:{data}"),
    )
    assert outcome.status == 0, outcome
    names = [device.target.name for device in both]
    rows = [line.split()[0] for line in outcome.stdout.splitlines() if " sbn " in line]
    assert rows == names
    for name in names:
        assert f"\n{name}: accuracy " in outcome.stdout
        assert f"\n{name}: labels that differ from those found here: 0" in outcome.stdout
    page = tmp_path / "report.html"
    assert sbn("report", fleet, "-o", page).status == 0
    compared = json.loads(page.with_suffix(".json").read_text())["devices"]
    assert {row["device"] for row in compared} == {*names}
    assert {(row["images"], row["differing"]) for row in compared} == {(40, 0)}
    assert len({row["accuracy"] for row in compared}) == 1


@pytest.mark.long
def test_records_of_all(both: tuple[Device, Device], model: Path, wheel: Path) -> None:
    words = (model, *remotes(*both), "--wheel", wheel, "--runs", "10", "--json")
    for verb in ("benchmark", "profile"):
        outcome = sbn(verb, *words)
        assert outcome.status == 0, outcome
        found = [record["remote"]["host"] for record in outcome.json]
        assert found == [device.target.name for device in both]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_cancelled(
    both: tuple[Device, Device], model: Path, wheel: Path, number: signal.Signals
) -> None:
    words = ("benchmark", model, *remotes(*both), "--wheel", wheel)
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as temporary,
        subprocess.Popen(
            [*COMMAND, *map(str, words), "--runs", "1000000000", "--max-seconds", "1000"],
            env=os.environ | {"TMPDIR": temporary},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr
        measuring = 0
        for line in process.stderr:
            measuring += "batch 1: small in sbn" in line
            if measuring == 2:
                break
        process.send_signal(number)
        _, lines = process.communicate(timeout=60)
    for device in both:
        assert device.left_behind() == []
        if number == signal.SIGINT:
            assert f" on {device.target.name}\n" in lines
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert lines.splitlines()[-1] == "sbn: error: interrupted"


@pytest.mark.long
def test_sweep(both: tuple[Device, Device], hanging: Device, wheel: Path, tmp_path: Path) -> None:
    """What to ship to each; the same command measures what is missing."""
    config = tmp_path / "digits.toml"
    config.write_text(
        f'checkpoint = "{CHECKPOINT}"\nweights = ["threshold"]\nsamples = [2]\nruns = 10\n'
        "images = 60\nthreads = [1, 2]\n"
    )
    words = ("sweep", config, "--out", tmp_path / "out", "--wheel", wheel)
    (hanging.programs / "python3").unlink()
    outcome = sbn(*words, *remotes(hanging, *both))
    assert outcome.status == 2, outcome
    assert f"not measured: {hanging.target.name}" in outcome.stderr.splitlines()[-1]
    assert outcome.stderr.count("there is no python3") == 1
    assert outcome.stdout.count("\nship ") == 2
    for device in both:
        name = file_name(device.target.name)
        assert (tmp_path / "out" / f"answer-{name}.json").exists()
        for threads in (1, 2):
            times = load(tmp_path / "out/benchmarks" / f"sbn-threads{threads}" / f"{name}.json")
            assert isinstance(times, Benchmark)
            assert len(times.models) == 2
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [choice["kind"] for choice in report["choices"]] == ["ship", "ship"]
    outcome = sbn(*words, *remotes(*both), "--json")
    assert outcome.status == 0, outcome
    assert "timing in sbn, threads: 2" in outcome.stderr
    assert outcome.stderr.count("done before") == 6
    assert [answer["device"] for answer in outcome.json] == [d.target.name for d in both]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ssh://a", "ssh://pi@a/tmp"], "--remote ssh://pi@a/tmp: a is given twice"),
        (["ssh://127.0.0.1", "ssh://[127.0.0.1]"], "127.0.0.1 is given twice"),
        (["ssh://localhost", "ssh://127.0.0.1"], "localhost and 127.0.0.1 are the same device"),
        (["adb:", "adb:0A1B"], "--remote adb: means the only phone; name each"),
        (["ssh://a", "ssh://b", "-o", "fleet.json"], "-o fleet.json: with several --remote, name"),
    ],
)
def test_unfit_options(model: Path, words: list[str], message: str) -> None:
    options = [w for word in words for w in (("--remote", word) if ":" in word else (word,))]
    for verb in ("benchmark", "profile"):
        assert message in sbn(verb, model, *options).refused()


def test_names_of_one_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases of ssh's settings, and what is behind a jump host."""
    (tmp_path / "config").write_text(
        "Host board\nHostName 127.0.0.1\nPort 2222\n"
        "Host far other\nHostName 10.0.0.7\nProxyJump gate\n"
    )
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def found(address: str) -> set[tuple[str, ...]]:
        target = parse(address)
        assert isinstance(target, Target)
        return destinations(target)

    assert found("ssh://board") == found("ssh://pi@127.0.0.1:2222/tmp") == {("127.0.0.1", "2222")}
    assert found("ssh://127.0.0.1") == {("127.0.0.1", "22")}
    assert found("ssh://far") == found("ssh://other") == {("10.0.0.7", "22", "gate")}


def test_what_ends_one_ends_all() -> None:
    """A file that cannot be written ends what waits for the other devices."""
    started = Event()

    def waits() -> int:
        process = connection.start(["sleep", "600"], **NOWHERE)
        with connection.awaited(process):
            started.set()
            status = process.wait()
        with pytest.raises(RemoteError, match="interrupted"):
            connection.start(["true"], **NOWHERE)
        return status

    def full(name: str, _: int | SbnError) -> None:
        assert name == "quick"
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"):
        at_once({"slow": waits, "quick": lambda: int(started.wait())}, full)
    assert connection.start(["true"], **NOWHERE).wait() == 0
