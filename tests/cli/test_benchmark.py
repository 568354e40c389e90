"""`sbn benchmark` on this machine, as typed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.files import load, parse
from sbn_runtime import isa

from ..command import Outcome, sbn
from ..small_models import Classifier, write_float_classifier
from .conftest import Trained

# A round at least, however busy the machine is.
QUICK = ("--runs", "10", "--warmup", "1", "--max-seconds", "2")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    (tmp_path / "other").mkdir()
    return Classifier.random().write(tmp_path / "other" / "other.onnx")


def check(content: dict[str, Any]) -> None:
    """What holds for every measurement."""
    record = parse(Benchmark, content, "it")
    assert record.machine.isa == isa()
    names = [model.name for model in record.models]
    assert len(set(names)) == len(names)
    for result in record.results:
        assert 0 < result.min_ms <= result.p50_ms
        percentiles = [x for x in (result.p50_ms, result.p90_ms, result.p99_ms) if x is not None]
        assert percentiles == sorted(percentiles)
        assert (result.images_per_s is not None) == result.enough
        if result.images_per_s is not None:
            assert result.images_per_s == pytest.approx(1e3 * result.batch / result.p50_ms)
        assert result.start_ms > 0
        if result.prediction_low_ms is not None:
            assert result.prediction_low_ms <= result.p50_ms <= result.prediction_high_ms
    for ratio in record.ratios:
        if ratio.prediction_low is not None:
            assert ratio.prediction_low <= ratio.ratio <= ratio.prediction_high


def rows(outcome: Outcome) -> list[list[str]]:
    return [line.split() for line in outcome.stdout.splitlines()]


def test_one_model(model: Path) -> None:
    outcome = sbn(
        *("benchmark", model, "--runs", "10", "--warmup", "0", "--batch", "3"),
        *("--max-seconds", "1000", "--json"),
    )
    assert outcome.status == 0, outcome
    record = outcome.json
    check(record)
    (result,) = record["results"]
    assert result["prediction_low_ms"] <= result["p50_ms"] <= result["prediction_high_ms"]
    assert (result["model"], result["engine"], result["threads"]) == ("small", "sbn", 1)
    assert (result["batch"], result["runs"]) == (3, 10)
    assert result["file_bytes"] == record["models"][0]["bytes"] == model.stat().st_size
    assert record["ratios"] == []
    assert record["settings"] == {
        "threads": [1],
        "batch": [3],
        "runs": 10,
        "warmup": 0,
        "max_seconds": 1000,
    }


def test_lists(model: Path, other: Path, tmp_path: Path) -> None:
    """Every combination once, and the same figures in the file as on standard output."""
    path = tmp_path / "run.json"
    outcome = sbn(
        *("benchmark", model, other, "--threads", "1,2", "--batch", "1,4"),
        *(*QUICK, "-o", path, "--json"),
    )
    assert outcome.status == 0, outcome
    record = outcome.json
    check(record)
    found = [(result["threads"], result["batch"], result["model"]) for result in record["results"]]
    assert found == [
        (threads, batch, name)
        for threads in (1, 2)
        for batch in (1, 4)
        for name in ("small", "other")
    ]
    # Four, unless the machine is so busy that time ran out.
    assert {(ratio["model"], ratio["engine"]) for ratio in record["ratios"]} <= {("other", "sbn")}
    assert json.loads(json.dumps(asdict(load(path)))) == record
    said = [line for line in outcome.stderr.splitlines() if ", batch " in line]
    assert said[0] == "1 thread, batch 1: small in sbn; other in sbn"
    assert len(said) == 4


def test_table(model: Path, other: Path) -> None:
    outcome = sbn("benchmark", model, other, "--runs", "12", "--max-seconds", "1000")
    assert outcome.status == 0, outcome
    header, first, second = rows(outcome)
    assert header[:4] == ["model", "engine", "threads", "batch"]
    assert first[:2] == ["small", "sbn"]
    assert first[-1] == "1"
    assert second[:2] == ["other", "sbn"]
    assert second[-3].startswith("(")
    assert second[-4].endswith("×")
    assert "kernels, onnxruntime" in outcome.stderr


def test_models_of_others(model: Path, tmp_path: Path) -> None:
    """A file without our operators is measured in onnxruntime."""
    plain = write_float_classifier(tmp_path / "plain.onnx")
    record = sbn("benchmark", model, plain, *QUICK, "--json").json
    check(record)
    found = [(result["model"], result["engine"]) for result in record["results"]]
    assert found == [("small", "sbn"), ("plain", "onnxruntime")]
    assert {ratio["model"] for ratio in record["ratios"]} <= {"plain"}
    assert record["models"][1]["arch"] is None


def test_files_of_one_name_are_told_apart(model: Path, other: Path, tmp_path: Path) -> None:
    same = model.rename(tmp_path / "other.onnx")
    record = sbn("benchmark", same, other, *QUICK, "--json").json
    check(record)
    names = [str(same.with_suffix("")), str(other.with_suffix(""))]
    assert [result["model"] for result in record["results"]] == names


def test_until_it_is_precise(model: Path) -> None:
    """Unless told otherwise, as many sessions as that takes, or as time allows."""
    record = sbn("benchmark", model, "--max-seconds", "3", "--json").json
    check(record)
    assert record["settings"]["runs"] is None
    (result,) = record["results"]
    assert result["sessions"] >= 1


def test_time_runs_out(model: Path) -> None:
    outcome = sbn("benchmark", model, "--runs", "1000000000", "--max-seconds", "0.5")
    assert outcome.status == 0, outcome
    assert "--max-seconds allows for more" in outcome.stderr


@pytest.mark.long
def test_baselines(trained: Trained) -> None:
    outcome = sbn(
        *("benchmark", trained.model, "--compare", "int8,torch,fp32"),
        *("--runs", "10", "--warmup", "1", "--batch", "1,2", "--max-seconds", "4", "--json"),
    )
    assert outcome.status == 0, outcome
    record = outcome.json
    check(record)
    engines = ["sbn", "onnxruntime-int8", "torch", "onnxruntime-fp32"]
    assert [result["engine"] for result in record["results"]] == engines * 2
    assert {ratio["engine"] for ratio in record["ratios"]} <= {*engines[1:]}
    by_engine = {result["engine"]: result for result in record["results"]}
    assert by_engine["torch"]["file_bytes"] is None
    assert by_engine["onnxruntime-fp32"]["file_bytes"] > by_engine["sbn"]["file_bytes"]


def test_compared_with_torch_without_architecture(tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / "bare.onnx", metadata={})
    line = sbn("benchmark", model, "--compare", "torch").refused_after_progress()
    assert "metadata lacks 'arch'" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "{folder}/none/run.json"], "no such folder"),
        (["-o", "{folder}"], "is a folder"),
        (["{model}"], "a model is given twice"),
        (["{other}", "--data", "digits"], "--data goes with one model"),
        (
            ["--remote", "adb:", "--compare", "int8"],
            "--compare int8 does not go with --remote adb:",
        ),
        (["--remote", "ssh://host", "--compare", "torch"], "torch runs on this machine only"),
    ],
)
def test_unfit_options(
    model: Path, other: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {"folder": tmp_path, "model": model, "other": other}
    filled = [argument.format(**names) for argument in arguments]
    assert message in sbn("benchmark", model, *filled).refused()
