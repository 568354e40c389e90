"""The written comparison."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from sbn_deploy.measure.report import COLUMNS, Row, write_report

ROWS = [
    Row("float", 1.0, 0.98, 1.0, 430_867, 0.035, 0.046, 60_000.0),
    Row("binary", 0.0, 0.0, 0.02, 30_127, 0.012, 0.013, 250_000.0),
]


def test_report(tmp_path: Path) -> None:
    text, record, plot = write_report(tmp_path, "A title", ROWS, {"machine": {"cpu": "a CPU"}})
    written = json.loads(record.read_text())
    assert written["rows"] == [asdict(row) for row in ROWS]
    assert (written["title"], written["machine"]) == ("A title", {"cpu": "a CPU"})
    lines = text.read_text().splitlines()
    assert lines[0] == "# A title"
    assert "| " + " | ".join(COLUMNS) + " |" in lines
    assert "| float | 100.00% | 431 kB | 0.035 | 0.046 | 60,000 |" in lines
    assert "- cpu: a CPU" in lines
    assert plot.name in text.read_text()
    with Image.open(plot) as image:
        assert min(image.size) > 300
    assert sorted(tmp_path.iterdir()) == sorted([text, record, plot])
