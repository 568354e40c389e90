"""What is said of measurements that are too short to say much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sbn_deploy.benchmark.timing import summarise
from sbn_deploy.records.benchmark import FEWEST_CALLS, FEWEST_FOR
from sbn_deploy.records.files import load, load_all, save
from sbn_deploy.report import collect
from sbn_runtime.errors import InputError

from ..command import sbn
from ..report.builder import Case, benchmark, model
from ..small_models import Classifier


def taken(calls: int) -> list[list[np.ndarray]]:
    """Times of so many calls, in sessions of one round."""
    times = 1 + np.random.default_rng(0).random(calls)
    return [[part] for part in np.array_split(times, min(calls, 6))]


@pytest.mark.parametrize("calls", [1, FEWEST_CALLS - 1, FEWEST_CALLS, 49, 50, 499, 500])
def test_figures_need_calls(calls: int) -> None:
    found = summarise("m", "sbn", 1, 1, taken(calls))
    enough = calls >= FEWEST_CALLS
    assert found.enough == enough
    for figure in (found.images_per_s, found.prediction_low_ms, found.spread, found.drift):
        assert (figure is not None) == enough
    assert (found.p90_ms is not None) == (calls >= FEWEST_FOR[90])
    assert (found.p99_ms is not None) == (calls >= FEWEST_FOR[99])


def test_one_call_is_not_a_measurement(tmp_path: Path) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx")
    other = Classifier.random(1).write(tmp_path / "n.onnx")
    out = tmp_path / "short.json"
    shown = sbn("benchmark", path, other, "--runs", "1", "--warmup", "0", "-o", out)
    assert shown.status == 0
    assert "×" not in shown.stdout
    rows = shown.stdout.splitlines()[1:]
    assert all(row.split()[4:8] == ["-"] * 4 for row in rows), shown.stdout
    assert "m in sbn: only 1 call, the fastest in" in shown.stderr
    assert "figures need 10; raise --max-seconds, or set --runs" in shown.stderr
    record = load(out)
    assert record.ratios == ()  # type: ignore[union-attr]
    refused = sbn("report", out, "-o", tmp_path / "report.html").refused_after_progress()
    assert "has 1 of the 10 calls that figures need; it is left out" in refused


def test_reports_leave_them_out(tmp_path: Path) -> None:
    one, other = model("one"), model("other")
    whole = benchmark([Case(one, 1.0), Case(one, 3.0, "onnxruntime-fp32"), Case(other, 2.0)])
    results = (*whole.results[:1], *(replace(t, runs=3) for t in whole.results[1:]))
    save(tmp_path / "run.json", replace(whole, results=results))
    report = collect(load_all([tmp_path / "run.json"], print))
    (comparison,) = report.comparisons
    assert [point.model for point in comparison.points] == ["one"]
    assert report.ratios == []
    assert any("other in sbn" in note and "left out" in note for note in report.notes)
    few = tuple(replace(timing, runs=3) for timing in whole.results)
    save(tmp_path / "few.json", replace(whole, results=few))
    with pytest.raises(InputError, match="has 3 of the 10 calls that figures need"):
        collect(load_all([tmp_path / "few.json"], print))


def test_records_keep_what_is_missing(tmp_path: Path) -> None:
    whole = benchmark([Case(model("one"), 1.0)])
    (timing,) = whole.results
    short = replace(timing, p90_ms=None, p99_ms=None, prediction_low_ms=None,
                    prediction_high_ms=None)  # fmt: skip
    save(tmp_path / "short.json", replace(whole, results=(short,)))
    assert load(tmp_path / "short.json").results == (short,)  # type: ignore[union-attr]
