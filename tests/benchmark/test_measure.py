"""What `sbn benchmark` makes of what was measured, with sessions that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_deploy.benchmark import measure as module
from sbn_deploy.benchmark.measure import measure
from sbn_deploy.benchmark.rounds import Taken
from sbn_deploy.benchmark.sessions import Measured
from sbn_deploy.benchmark.worker import Spec, Started
from sbn_deploy.records.benchmark import Benchmark, Settings

from ..report import builder

MS = {"sbn": 1.0, "onnxruntime-fp32": 4.0, "indirect": 9.0, "indirect-xnnpack": 7.0}
SESSIONS = 3


def measured(spec: Spec, joules: float | None) -> Measured:
    ms = MS[spec.mode or spec.engine]
    rounds = [np.full(10, ms) for _ in range(4)]
    return Measured(
        [Started(5.0 + index, 100 + index, 1000, 0.1, ms) for index in range(SESSIONS)],
        [Taken(rounds, 50, joules) for _ in range(SESSIONS)],
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What sessions were asked for; they return at once."""
    calls: list[dict[str, Any]] = []

    def measure_sessions(specs: Sequence[Spec], **options: Any) -> list[Measured]:
        calls.append({"engines": [spec.mode or spec.engine for spec in specs], **options})
        options["watch"]()
        return [measured(spec, 2.0) for spec in specs]

    monkeypatch.setattr(module, "measure_sessions", measure_sessions)
    return calls


@pytest.fixture
def specs(tmp_path: Path) -> list[Spec]:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    return [
        Spec("m", "sbn", str(path)),
        Spec("m", "onnxruntime-fp32", str(path)),
        *(Spec("m", "lce", str(path), mode=mode) for mode in ("indirect", "indirect-xnnpack")),
    ]


def run(
    specs: list[Spec], *, threads: Sequence[int] = (1,), batch: Sequence[int] = (1,)
) -> Benchmark:
    settings = Settings(
        threads=tuple(threads), batch=tuple(batch), runs=120, warmup=3, max_seconds=8.0
    )
    return measure(specs, [builder.model("m")], settings, say=lambda text: None)


def test_the_faster_mode_of_lce_is_kept(asked: list[dict[str, Any]], specs: list[Spec]) -> None:
    found = run(specs)
    assert asked[0]["engines"] == ["sbn", "onnxruntime-fp32", "indirect", "indirect-xnnpack"]
    results = [(result.engine, result.mode) for result in found.results]
    assert results == [("sbn", None), ("onnxruntime-fp32", None), ("lce", "indirect-xnnpack")]


def test_ratios_are_against_our_engine(asked: list[dict[str, Any]], specs: list[Spec]) -> None:
    ratios = {ratio.engine: ratio.ratio for ratio in run(specs).ratios}
    assert ratios == pytest.approx({"onnxruntime-fp32": 4, "lce": 7})


def test_figures_of_a_result(asked: list[dict[str, Any]], specs: list[Spec]) -> None:
    result = run(specs, batch=(4,)).results[0]
    assert (result.runs, result.p50_ms, result.start_ms) == (120, 1.0, 6.0)
    assert (result.peak_bytes, result.process_bytes, result.file_bytes) == (102, 1000, 5)
    # Two joules and 50 calls of 4 images in each session.
    assert result.joules_per_image == pytest.approx(2 / 200)


def test_larger_batches_are_not_for_lce(asked: list[dict[str, Any]], specs: list[Spec]) -> None:
    run(specs, threads=(1, 2), batch=(1, 8))
    found = [(call["threads"], call["batch"], len(call["engines"])) for call in asked]
    assert found == [(1, 1, 4), (1, 8, 2), (2, 1, 4), (2, 8, 2)]


def test_time_is_shared(asked: list[dict[str, Any]], specs: list[Spec]) -> None:
    """Nothing took any time, so what is left goes to those that follow."""
    run(specs, batch=(1, 2, 4, 8))
    shares = [call["seconds"] for call in asked]
    assert shares == sorted(shares)
    assert shares[0] <= 8 / 4
    assert shares[-1] <= 8


def test_energy_is_told_only_if_it_was_counted_all_the_time(
    monkeypatch: pytest.MonkeyPatch, specs: list[Spec]
) -> None:
    def measure_sessions(specs: Sequence[Spec], **options: Any) -> list[Measured]:
        options["watch"]()
        entry = measured(specs[0], 2.0)
        entry.sessions[1].joules = None
        return [entry]

    monkeypatch.setattr(module, "measure_sessions", measure_sessions)
    assert run(specs[:1]).results[0].joules_per_image is None
