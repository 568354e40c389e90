"""Files that are measurements, and others."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.evaluation import Evaluation
from sbn_deploy.records.files import load_all
from sbn_deploy.report import check_output, collect
from sbn_runtime import InputError

from ..report import builder

MODEL = builder.model("digits")


def benchmark() -> Benchmark:
    return builder.benchmark([builder.Case(MODEL, 1.0), builder.Case(MODEL, 5.0, "lce")])


def evaluation() -> Evaluation:
    return builder.evaluation(MODEL, *builder.answers(50, 10, 3.0), builder.DIGITS)


def test_of_a_folder_the_measurements_are_taken(tmp_path: Path) -> None:
    builder.write(tmp_path, a=benchmark(), b=evaluation())
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "text.txt").write_text("not a measurement")
    said: list[str] = []
    runs = load_all([tmp_path, tmp_path / "a.json"], said.append)
    assert sorted(path.name for path, _ in runs) == ["a.json", "b.json"]
    assert said == [f"{tmp_path}: not measurements, left out: broken.json, notes.json"]


def test_of_a_sweeps_folder_those_in_its_folders_are_taken(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    (tmp_path / "report.json").write_text("{}")
    for name, record in (("benchmarks", benchmark()), ("evaluations", evaluation())):
        (tmp_path / name).mkdir()
        builder.write(tmp_path / name, a=record)
    said: list[str] = []
    assert len(load_all([tmp_path], said.append)) == 2
    assert said == []


def test_runs_come_in_the_order_of_time(tmp_path: Path) -> None:
    old = replace(benchmark(), created="2020-01-01T00:00:00+00:00")
    builder.write(tmp_path, a=benchmark(), b=old)
    assert [path.stem for path, _ in load_all([tmp_path], print)] == ["b", "a"]


def changed(record: Benchmark | Evaluation, *path: Any, value: Any) -> dict[str, Any]:
    """A record as JSON with one entry replaced, or left out for `...`."""
    copy: dict[str, Any] = json.loads(json.dumps(asdict(record)))
    *outer, last = path
    inner: Any = copy
    for key in outer:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return copy


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (changed(benchmark(), "kind", value="dream"), "unknown kind 'dream'"),
        (changed(benchmark(), "version", value=9), "version 9"),
        (changed(benchmark(), "machine", value=...), "machine: field required"),
        (
            changed(benchmark(), "machine", "cpu", value=3),
            r"machine\.cpu: input should be a valid string",
        ),
        (changed(benchmark(), "results", value={}), "results: input should be a valid array"),
        (
            changed(benchmark(), "results", 1, "p50_ms", value=...),
            r"results\.1\.p50_ms: field required",
        ),
        (
            changed(benchmark(), "results", 0, "p50_ms", value="1"),
            "p50_ms: input should be a valid number",
        ),
        (changed(benchmark(), "results", 0, "p50_ms", value=0), "not above zero"),
        (
            changed(benchmark(), "results", 0, "p50_ms", value=float("nan")),
            "p50_ms: input should be a finite number",
        ),
        (
            changed(benchmark(), "results", 0, "batch", value=1.5),
            "batch: input should be a valid integer",
        ),
        (changed(benchmark(), "results", 0, "model", value="x"), "'x' is not described"),
        (changed(benchmark(), "ratios", 0, "ratio", value=-1), "ratio is not above zero"),
        (changed(benchmark(), "models", 0, value=[]), r"models\.0: input should be"),
        (changed(evaluation(), "confusion", 0, value=[1]), "confusion matrix is not 10 × 10"),
        (changed(evaluation(), "risk", value=[]), "coverage and risk differ"),
    ],
)
def test_damaged_measurements(tmp_path: Path, content: dict[str, Any], reason: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=reason) as caught:
        load_all([path], print)
    assert str(path) in str(caught.value)


def test_nothing_to_show(tmp_path: Path) -> None:
    builder.write(tmp_path, a=replace(benchmark(), results=(), ratios=()))
    with pytest.raises(InputError, match="contain no results"):
        collect(load_all([tmp_path], print))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no measurement"):
        load_all([tmp_path], print)


def test_the_page_names_its_data(tmp_path: Path) -> None:
    assert check_output(tmp_path / "a.b.html") == tmp_path / "a.b.json"
    with pytest.raises(InputError, match=r"name it report\.html"):
        check_output(tmp_path / "report.pdf")


def test_a_measurement_is_not_overwritten(tmp_path: Path) -> None:
    (path,) = builder.write(tmp_path, speed=benchmark())
    with pytest.raises(InputError, match="would overwrite"):
        check_output(path.with_suffix(".html"))
