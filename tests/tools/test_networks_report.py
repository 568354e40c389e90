"""The report of whole networks: ratios, tables, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sbn_deploy.benchmark.timing import Timing
from sbn_deploy.profile.node_times import NodeTime
from tests.tools.imported import Agreement, ImportedResult
from tests.tools.networks import NetworkResult
from tests.tools.networks_report import ratios, write


def timing(engine: str, ms: float, *, threads: int = 1, batch: int = 1) -> Timing:
    return Timing(
        engine=engine,
        threads=threads,
        batch=batch,
        runs=10,
        p50_ms=ms,
        p50_low_ms=ms * 0.98,
        p50_high_ms=ms * 1.02,
        p90_ms=ms * 1.1,
        p99_ms=ms * 1.2,
        min_ms=ms * 0.9,
        images_per_s=batch / ms * 1e3,
        spread=0.05,
        drift=0.0,
    )


RESULT = NetworkResult(
    network="small",
    timings=[
        timing("sbn fast", 0.5),
        timing("sbn slow", 2),
        timing("onnxruntime int8", 3),
        timing("onnxruntime fp32", 8),
        timing("LCE", 7),
        timing("LCE with XNNPACK", 5),
    ],
    scaling=[timing("sbn", 0.5), timing("sbn", 0.25, threads=2), timing("sbn", 16, batch=32)],
    file_bytes={"sbn": 1000, "LCE": 2000},
    nodes=[
        NodeTime("a", "ConvThreshold", 300, (), (), 0, 0),
        NodeTime("b", "Conv", 100, (), (), 0, 0),
    ],
    lce_file="our translation",
    translation_ms=51.2,
)

IMPORTED = ImportedResult(
    "Foreign",
    [timing("sbn", 0.5), timing("LCE", 7), timing("LCE with XNNPACK", 5)],
    file_bytes=4000,
    imported_bytes=5000,
    agreement=Agreement(3e-7, 11),
    own_agreement=Agreement(0, 12),
)


def test_the_better_mode_of_a_rival_counts() -> None:
    assert ratios(RESULT) == {
        "sbn fast": pytest.approx({"LCE": 10, "int8": 6, "fp32": 16}),
        "sbn slow": pytest.approx({"LCE": 2.5, "int8": 1.5, "fp32": 4}),
    }


def test_files(tmp_path: Path) -> None:
    path, data = write(
        tmp_path / "report.md", [RESULT], [IMPORTED], {"cpu": "one", "gpu": None}, "command -x"
    )
    record = json.loads(data.read_text())
    assert record["networks"][0]["ratios"]["sbn fast"]["LCE"] == pytest.approx(10)
    assert record["command"] == "command -x"
    text = path.read_text()
    assert "| small | fast | 10.0× | 6.0× | 16.0× | – |" in text
    assert "| `ConvThreshold` | 1 | 300 | 75% |" in text
    assert "| Foreign | 0.50 | 7.00 | 5.00 | 10.0× | 3e-07 | 11 | 12 | 4 | 5 |" in text
    assert record["imported"][0]["ratio"] == pytest.approx(10)
    assert "51 ms from the ONNX model" in text
    assert "gpu" not in text
    assert "LCE ran a file made by our translation." in text
    assert sorted(tmp_path.iterdir()) == [data, path]
