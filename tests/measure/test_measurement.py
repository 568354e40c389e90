"""Measurements in files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sbn_deploy.measure import measurement
from sbn_runtime import InputError


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    saved = measurement.head("benchmark") | {"results": [{"p50_ms": 0.25}]}
    measurement.save(path, saved)
    assert measurement.load(path) == saved
    assert saved["machine"]["cores"] >= 1


def test_a_model_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    path.write_bytes(b"model")
    facts = measurement.describe_model(path, {"arch": "digits-cnn", "members": 4})
    assert (facts.name, facts.bytes, facts.members, facts.samples) == ("digits", 5, 4, 1)
    assert facts.sha256 == hashlib.sha256(b"model").hexdigest()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[]", "is no measurement"),
        ('{"kind": "benchmark"}', "is no measurement"),
        (json.dumps({"format": measurement.FORMAT, "version": 99}), "version 99"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=reason):
        measurement.load(path)
