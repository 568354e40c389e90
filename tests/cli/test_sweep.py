"""`sbn sweep` and `sbn card` as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sbn_deploy.benchmark.float_baselines import export_fp32
from sbn_deploy.cli import main
from sbn_deploy.nn import models
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.evaluation import Evaluation
from sbn_deploy.records.files import load
from sbn_runtime import Session

from ..command import COMMAND, sbn
from ..once import once

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "models" / "digits-cnn" / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "digits.toml"
    path.write_text(
        f'checkpoint = "{CHECKPOINT}"\nmembers = [2]\nsamples = [2]\nruns = 10\nimages = 60\n'
        'engines = ["sbn", "native"]\n'
    )
    return path


@pytest.fixture(scope="module")
def swept(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        outcome = sbn("sweep", config, "--out", folder / "out")
        assert outcome.status == 0, outcome
        assert "ship " in outcome.stdout

    made = once(tmp_path_factory, "swept", make) / "out"
    # A copy for each process: some tests sweep it again.
    return shutil.copytree(made, config.parent / "out")


def modified(folder: Path) -> dict[Path, int]:
    """When each file was written that a sweep leaves as it is."""
    files = [path for path in folder.rglob("*.*") if path.suffix in (".onnx", ".json")]
    return {path: path.stat().st_mtime_ns for path in files}


def test_everything_is_measured(swept: Path) -> None:
    names = {"threshold", "members2", "threshold-noise2", "members2-noise2"}
    assert {path.stem for path in (swept / "models").glob("*.onnx")} == names
    for name in names:
        record = load(swept / "evaluations" / f"{name}.json")
        assert isinstance(record, Evaluation)
        assert record.scores.samples == 60
    for file, engines in (("sbn", {"sbn"}), ("native", {"sbn", "native"})):
        timed = load(swept / "benchmarks" / f"{file}-threads1.json")
        assert isinstance(timed, Benchmark)
        found = {(result.model, result.engine) for result in timed.results}
        assert found == {(name, engine) for name in names for engine in engines}
    assert (swept / "report.html").stat().st_size > 10_000


def test_what_is_missing_is_measured(swept: Path, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(swept, folder)
    for name in ("report.html", "report.json", "answer.json", "evaluations/members2.json"):
        (folder / name).unlink()
    before = modified(folder)
    outcome = sbn("sweep", config, "--out", folder)
    assert outcome.status == 0, outcome
    assert "done before" in outcome.stderr
    after = modified(folder)
    assert {path: after[path] for path in before} == before
    assert (folder / "report.html").exists()
    assert isinstance(load(folder / "evaluations" / "members2.json"), Evaluation)


@pytest.mark.parametrize("held_out", [True, False])
def test_files_are_calibrated_on_what_training_held_out(tmp_path: Path, held_out: bool) -> None:
    few = ("--epochs", 1, "--set", "model.width=8", "--set", "members=1")
    setting = f"validation={str(held_out).lower()}"
    trained = sbn("train", *few, "--set", setting, "--out", tmp_path / "run")
    assert trained.status == 0, trained
    config = tmp_path / "sweep.toml"
    config.write_text(
        f'checkpoint = "{tmp_path / "run" / "checkpoint.safetensors"}"\ncalibrate = true\n'
        'weights = ["threshold"]\nactivations = ["deterministic"]\nruns = 10\nimages = 60\n'
    )
    outcome = sbn("sweep", config, "--out", tmp_path / "out")
    files = [path.name for path in (tmp_path / "out" / "models").iterdir()]
    if held_out:
        assert outcome.status == 0, outcome
        assert files == ["threshold.onnx"]
        calibration = Session(tmp_path / "out" / "models" / files[0]).calibration
        assert calibration is not None
        assert calibration.data == "digits"
    else:
        assert outcome.status == 2
        assert "trained on" in outcome.stderr
        assert files == []


@pytest.mark.long
def test_a_killed_sweep_goes_on(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [*COMMAND, "sweep", str(config), "--out", str(folder)]
    first = folder / "evaluations" / "threshold.json"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and not first.is_file():
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (folder / "report.html").exists()
    before = modified(folder)
    assert first in before
    assert sbn("sweep", config, "--out", folder).status == 0
    after = modified(folder)
    assert {path: after[path] for path in before} == before


@pytest.mark.long
def test_a_float_network_is_timed_and_classifies_too(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "fp32.onnx"
    torch.manual_seed(0)
    export_fp32(models.create_twin("digits-cnn", width=8), (1, 8, 8), twin)
    ours = str(swept / "models" / "threshold.onnx")
    assert main(["benchmark", ours, str(twin), "--runs", "10", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [result["engine"] for result in record["results"]] == ["sbn", "onnxruntime"]
    (ratio,) = record["ratios"]
    assert ratio["model"] == "fp32"
    assert main(["evaluate", str(twin), "--data", "digits", "--images", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "onnxruntime"


def test_it_answers_at_once_when_done(
    swept: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", str(config), "--out", str(swept), "--json"]
    assert main([*arguments, "--budget-ms", "1000"]) == 0
    reply = json.loads(capsys.readouterr().out)
    best = max(one["accuracy"] for one in reply["candidates"])
    assert reply["ship"]["accuracy"] == best
    assert main([*arguments, "--budget-ms", "0.000001"]) == 1
    reply = json.loads(capsys.readouterr().out)
    assert reply["ship"] is None
    assert reply["limits"] == {"budget_ms": 0.000001, "min_accuracy": None}


@pytest.mark.parametrize("limits", [[], ["--budget-ms", "1000"], ["--min-accuracy", "0.5"]])
def test_sweep_report_and_card_name_one_model(
    swept: Path,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    limits: list[str],
) -> None:
    assert main(["sweep", str(config), "--out", str(swept), "--json", *limits]) == 0
    ship = json.loads(capsys.readouterr().out)["ship"]
    report = json.loads((swept / "report.json").read_text())
    assert report["choices"][0]["kind"] == "ship"
    assert report["choices"][0]["model"] == ship["model"]
    measured = [swept / "evaluations", swept / "benchmarks", swept / "answer.json"]
    model = swept / "models" / "threshold.onnx"
    page = tmp_path / "other.html"
    assert main(["report", *map(str, measured), "-o", str(page)]) == 0
    report = json.loads(page.with_suffix(".json").read_text())
    assert report["choices"][0]["model"] == ship["model"]
    card = tmp_path / "README.md"
    assert main(["card", str(model), *map(str, measured), "-o", str(card)]) == 0
    assert f"ship **{ship['model']}**" in card.read_text()


def test_another_sweep_needs_another_folder(
    swept: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = config.with_name("other.toml")
    other.write_text(config.read_text().replace("[2]", "[3]"))
    assert main(["sweep", str(other), "--out", str(swept)]) == 2
    assert "another members" in capsys.readouterr().err


def test_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "digits.toml"
    config.write_text('checkpoint = "missing.safetensors"')
    assert main(["sweep", str(config), "--out", str(tmp_path / "out")]) == 2
    assert "missing.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_card_of_all_forms(swept: Path, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    about = tmp_path / "about.md"
    about.write_text("What numbers cannot say.")
    measured = [*swept.glob("evaluations/*.json"), *swept.glob("benchmarks/*.json")]
    arguments = [str(swept / "models" / "threshold.onnx"), *map(str, measured)]
    assert main(["card", *arguments, "--about", str(about), "-o", str(card)]) == 0
    text = card.read_text()
    _, front, body = text.split("---\n", 2)
    entries = dict(line.split(": ", 1) for line in front.splitlines())
    (index,) = json.loads(entries["model-index"])
    assert len(index["results"]) == 4
    assert "What numbers cannot say." in body
    for form in ("thresholded weights", "2 sampled members, 2 samples of the noise"):
        assert body.count(f"| {form} |") >= 2
    # Nothing that only this machine has.
    assert str(swept.parent) not in text


def test_a_card_has_the_accuracy_of_a_benchmark(swept: Path, tmp_path: Path) -> None:
    model, run, card = swept / "models" / "threshold.onnx", tmp_path / "run.json", tmp_path / "c.md"
    quick = ["--runs", "10", "--max-seconds", "2", "--data", "digits", "--images", "20"]
    assert main(["benchmark", str(model), *quick, "-o", str(run)]) == 0
    assert main(["card", str(model), str(run), "-o", str(card)]) == 0
    text = card.read_text()
    assert "On 20 test images of digits." in text
    assert text.count('"type": "accuracy"') == 1
    # With an evaluation of the same images there is still one row.
    scored = tmp_path / "scored.json"
    few = ["--data", "digits", "--images", "20"]
    assert main(["evaluate", str(model), *few, "-o", str(scored)]) == 0
    assert main(["card", str(model), str(run), str(scored), "-o", str(card)]) == 0
    assert card.read_text().count('"type": "accuracy"') == 1


def test_the_code_of_a_card_runs(swept: Path, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    model = swept / "models" / "threshold.onnx"
    assert main(["card", str(model), "-o", str(card)]) == 0
    code = card.read_text().split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=model.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in map(str, range(10))
