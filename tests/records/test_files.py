"""Measurements in files: of this version, of older ones, and what is none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.evaluation import Evaluation, TaskEvaluation
from sbn_deploy.records.files import FORMAT, KINDS, json_schema, load, save
from sbn_deploy.records.measurement import describe_model
from sbn_deploy.records.profile import Profile
from sbn_runtime import InputError

from ..report import builder

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path(__file__).parents[2] / "docs" / "measurements.schema.json"
FIRST = sorted(GOLDEN.glob("v1-*.json"))
THIS = sorted(GOLDEN.glob("v2-*.json"))


@pytest.mark.parametrize("path", THIS, ids=lambda path: path.stem)
def test_this_version(path: Path, tmp_path: Path) -> None:
    """A file is what was read from it: nothing is lost, added or written otherwise."""
    record = load(path)
    save(tmp_path / "again.json", record)
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_every_kind_has_a_file() -> None:
    assert {load(path).kind for path in THIS} == KINDS.keys()


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.stem)
def test_the_first_version(path: Path) -> None:
    """Every number of a file of version 1 is in the record, most under their old names."""
    old = json.loads(path.read_bytes())
    record = load(path)
    assert record.version == 2
    # What is no longer kept: counts that follow from others, and what the other machine scored.
    for name in ("version", "binary_macs"):
        old.pop(name, None)
    old.get("local", {}).pop("accuracy", None)
    found = list(_numbers(asdict(record)))
    for number in _numbers(old):
        assert number in found


def test_names_that_changed() -> None:
    timed = load(GOLDEN / "v1-benchmark.json")
    assert isinstance(timed, Benchmark)
    old = json.loads((GOLDEN / "v1-benchmark.json").read_bytes())
    first = old["results"][0]
    assert timed.results[0].prediction_low_ms == first["p50_low_ms"]
    assert timed.ratios[0].prediction_high == old["ratios"][0]["high"]
    assert timed.settings.batch == (1,)
    assert timed.machine.state.load_average == old["machine"]["load_average"]
    classified = load(GOLDEN / "v1-evaluation.json")
    assert isinstance(classified, Evaluation)
    assert 0 < classified.scores.confidence_low < classified.scores.accuracy
    profiled = load(GOLDEN / "v1-profile.json")
    assert isinstance(profiled, Profile)
    assert profiled.bottleneck is not None
    assert isinstance(load(GOLDEN / "v1-task.json"), TaskEvaluation)
    for name in ("phone", "remote"):
        record = load(GOLDEN / f"v1-{name}.json")
        assert isinstance(record, Benchmark)
        assert record.remote is not None
        assert (record.operators is not None) == (name == "phone")


def test_the_published_schema_is_fresh() -> None:
    """After a change: python -m tests.tools.measurements_schema"""
    assert json.loads(SCHEMA.read_text()) == json_schema()


def test_the_schema_says_what_fields_mean() -> None:
    for definition in json_schema()["$defs"].values():
        assert definition.get("description"), definition["title"]


def test_a_model_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    path.write_bytes(b"model")
    facts = describe_model(path, {"arch": "digits-cnn", "members": 4})
    assert (facts.name, facts.bytes, facts.members, facts.samples) == ("digits", 5, 4, 1)
    assert facts.sha256 == hashlib.sha256(b"model").hexdigest()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "is not a measurement"),
        ('{"kind": "benchmark"}', "is not a measurement"),
        (
            json.dumps({"format": FORMAT, "version": 99, "command": "sbn benchmark m.onnx"}),
            "of version 99, .* measure again with `sbn benchmark m.onnx`",
        ),
        (json.dumps({"format": FORMAT, "version": 1}), "of unknown kind None"),
        (json.dumps({"format": FORMAT, "version": 1, "kind": "benchmark"}), "field required"),
        (json.dumps({"format": FORMAT, "version": 2, "kind": "dream"}), "of unknown kind 'dream'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=reason):
        load(path)


def test_damaged_files_of_the_first_version(tmp_path: Path) -> None:
    """Whatever stands in place of an entry, it is read, or an InputError."""
    path = tmp_path / "run.json"
    for file in FIRST:
        content = json.loads(file.read_bytes())
        for name in content:
            for value in (None, 3, "text", [], {}, [1], [{"low": "x"}], {"low": []}):
                path.write_text(json.dumps(content | {name: value}))
                with suppress(InputError):
                    load(path)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    record = builder.benchmark([builder.Case(builder.model("digits"), 0.25)])
    save(path, record)
    assert load(path) == record


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        for entry in value.values():
            yield from _numbers(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
