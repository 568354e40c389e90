"""What belongs together, and what may be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sbn_deploy.records.evaluation import Evaluation, Skipped
from sbn_deploy.records.machine import CpuState
from sbn_deploy.records.measurement import Model
from sbn_deploy.records.sweep import Limits, Sweep
from sbn_deploy.report import Report, write

from . import builder
from .conftest import Collected

EARLY = "2020-01-01T00:00:00+00:00"
FAST, GOOD = builder.model("fast"), builder.model("good", weights="sample", members=8)


def accuracy(facts: Model, skill: float, **said: object) -> Evaluation:
    answers = builder.answers(1000, 10, skill)
    return builder.evaluation(facts, *answers, builder.CIFAR, **said)  # type: ignore[arg-type]


def test_accuracy_belongs_to_the_file(collected: Collected) -> None:
    report = collected(
        speed=builder.benchmark([builder.Case(FAST, 1.0), builder.Case(GOOD, 8.0)]),
        fast=accuracy(FAST, 2.0, machine=builder.BOARD),
        good=accuracy(GOOD, 4.0),
    )
    (comparison,) = report.comparisons
    found = {point.model: point.accuracy for point in comparison.points}
    expected = {entry.model: entry.evaluation.scores.accuracy for entry in report.evaluations}
    assert {name: entry and entry.value for name, entry in found.items()} == expected
    assert [point.on_front for point in comparison.points] == [True, True]


def test_real_weights_have_another_accuracy(collected: Collected) -> None:
    engines = ("sbn", "lce", "onnxruntime", "onnxruntime-fp32", "onnxruntime-int8", "torch")
    cases = [builder.Case(FAST, 1.0 + i, engine) for i, engine in enumerate(engines)]
    report = collected(speed=builder.benchmark(cases), accuracy=accuracy(FAST, 3.0))
    (comparison,) = report.comparisons
    known = {point.timing.engine for point in comparison.points if point.accuracy}
    assert known == {"sbn", "lce", "onnxruntime"}
    assert [p.timing.engine for p in comparison.points if p.on_front] == ["sbn"]


def test_times_of_engines_without_an_accuracy_have_no_chart(
    collected: Collected, tmp_path: Path
) -> None:
    """Older phones timed operators only: the file's accuracy is not that of what they timed."""
    report = collected(
        here=builder.benchmark([builder.Case(FAST, 1.0)]),
        phone=builder.benchmark([builder.Case(FAST, 9.0, "sbn operators")], machine=builder.BOARD),
        accuracy=accuracy(FAST, 3.0),
    )
    assert [entry.data for entry in report.comparisons] == ["cifar10", None]
    write(report, tmp_path / "report.html")


def test_machines_batches_and_data_are_not_mixed(collected: Collected) -> None:
    cases = [builder.Case(FAST, 1.0), builder.Case(FAST, 6.0, batch=8)]
    report = collected(
        server=builder.benchmark(cases),
        board=builder.benchmark(cases, machine=builder.BOARD),
        cifar=accuracy(FAST, 3.0),
        digits=accuracy(FAST, 3.0, data="digits"),
    )
    keys = [(entry.machine, entry.data, entry.batch) for entry in report.comparisons]
    assert len(set(keys)) == len(keys) == 2 * 2 * 2
    assert {len(entry.points) for entry in report.comparisons} == {1}
    assert len(report.places) == 2
    assert {choice.comparison for choice in report.choices} == {
        i for i, entry in enumerate(report.comparisons) if entry.batch == 1
    }


def test_devices_are_compared_where_they_ran_the_same(collected: Collected, tmp_path: Path) -> None:
    """Phones have an engine of their own, which computes the same network; baselines do not."""
    here = builder.benchmark([builder.Case(FAST, 2.0), builder.Case(FAST, 9.0, batch=8)])
    scores = accuracy(FAST, 3.0).scores
    board = builder.benchmark(
        [builder.Case(FAST, 4.0), builder.Case(FAST, 5.0, "onnxruntime-fp32")],
        machine=builder.BOARD,
        unstable=["it was hot"],
    )
    board = replace(
        board,
        accuracy=scores,
        data="cifar10",
        after=CpuState(temperature_c=71.4),
        remote=builder.remote("board-1", differing_labels=2),
    )
    phone = builder.benchmark([builder.Case(FAST, 1.0, "native")], machine=builder.PHONE)
    phone = replace(phone, remote=builder.remote("0A1B2C"))
    alone = builder.benchmark([builder.Case(GOOD, 1.0)])
    report = collected(here=here, board=board, phone=phone, alone=alone)
    assert [row.device for row in report.devices] == ["0A1B2C", None, "board-1"]
    assert {(row.timing.threads, row.timing.batch) for row in report.devices} == {(1, 1)}
    hot = report.devices[-1]
    assert (hot.temperature_c, hot.steady) == (71.4, False)
    assert (hot.accuracy, hot.images, hot.differing) == (scores.accuracy, 1000, 2)
    write(report, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert '<section id="devices"' in text
    assert "2 of 1,000" in text


def test_boards_of_one_kind_are_kept_apart(collected: Collected) -> None:
    """Same CPU, but another machine, another amount of memory, another onnxruntime."""
    others = [{}, {"id": "b"}, {"memory_bytes": 1 << 30}, {"onnxruntime": "1.2.3"}]
    runs = [
        builder.benchmark([builder.Case(FAST, 1.0)], machine=builder.BOARD | other)
        for other in others
    ]
    report = collected(**{f"run{i}": run for i, run in enumerate(runs)})
    names = [place.name for place in report.places]
    assert len(set(names)) == len(report.comparisons) == 4
    assert not report.notes
    assert [name for name in names if name.endswith("onnxruntime 1.2.3, machine board")]


def test_the_limits_of_a_sweep_hold_for_its_report(collected: Collected) -> None:
    speed = builder.benchmark([builder.Case(FAST, 1.0), builder.Case(GOOD, 8.0)])
    measured = {"speed": speed, "fast": accuracy(FAST, 2.0), "good": accuracy(GOOD, 4.0)}
    answers = {}
    for limits in (Limits(), Limits(budget_ms=2.0), Limits(min_accuracy=0.999)):
        sweep = Sweep(
            **builder.begin(builder.SERVER, "sbn sweep"),
            checkpoint_sha256="",
            limits=limits,
            candidates=(),
            ship=None,
        )
        (choice,) = collected(**measured, answer=sweep).choices
        answers[limits] = choice.kind, choice.model
    assert list(answers.values()) == [("ship", "good"), ("ship", "fast"), ("none", "good")]


def test_other_noise_samples_are_another_point(collected: Collected) -> None:
    noisy = builder.model("noisy", activations="stochastic", samples=4)
    report = collected(
        speed=builder.benchmark([builder.Case(noisy, 1.0)]),
        accuracy=accuracy(noisy, 3.0, samples=16),
    )
    (comparison,) = report.comparisons
    assert [point.accuracy for point in comparison.points] == [None]
    assert any("16 noise samples" in note for note in report.notes)
    assert report.evaluations[0].form == "thresholded, noise × 16"


def test_the_newest_of_two_counts(collected: Collected) -> None:
    old, new = (builder.benchmark([builder.Case(FAST, ms)], spread=0.001) for ms in (1.0, 2.0))
    old = replace(old, created=EARLY)
    worse, better = replace(accuracy(FAST, 2.0), created=EARLY), accuracy(FAST, 4.0)
    report = collected(a=new, b=old, c=better, d=worse)
    (comparison,) = report.comparisons
    (point,) = comparison.points
    assert (point.timing.p50_ms, point.source) == (new.results[0].p50_ms, "a.json")
    assert [entry.source for entry in report.evaluations] == ["c.json"]
    assert sum("more than once" in note for note in report.notes) == 2


def test_two_files_of_one_name_have_two_names(collected: Collected) -> None:
    other = builder.model("fast", sha256="ab" * 32)
    report = collected(a=accuracy(FAST, 2.0), b=accuracy(other, 3.0))
    assert {model.name for model in report.models} == {
        f"fast ({FAST.sha256[:6]})",
        "fast (ababab)",
    }
    assert len(report.evaluations) == 2


def test_accuracy_that_was_measured_along(collected: Collected) -> None:
    content = builder.benchmark([builder.Case(FAST, 1.0)])
    scores = accuracy(FAST, 3.0).scores
    report = collected(speed=replace(content, data="digits", accuracy=scores))
    (comparison,) = report.comparisons
    assert comparison.data == "digits"
    assert comparison.points[0].accuracy is not None


def test_warnings_and_skipped_files_are_told(collected: Collected) -> None:
    skipped = [Skipped(file="a.png", reason="truncated")] * 3
    report = collected(
        speed=builder.benchmark([builder.Case(FAST, 1.0)], unstable=["the CPU was throttled"]),
        accuracy=accuracy(FAST, 3.0, skipped=skipped),
    )
    assert [(w.text, w.source) for w in report.unstable] == [
        ("the CPU was throttled", "speed.json")
    ]
    assert any(note.startswith("3 files of cifar10 could not be read") for note in report.notes)


def test_the_answer(collected: Collected, sweep: Report) -> None:
    for choice in sweep.choices:
        assert choice.comparison is not None
        points = [p for p in sweep.comparisons[choice.comparison].points if p.accuracy]
        best = max(p.accuracy.value for p in points if p.accuracy)
        good = [p for p in points if p.accuracy and p.accuracy.value > best - 0.01]
        fastest = min(good, key=lambda p: p.timing.p50_ms)
        assert (choice.model, choice.threads) == (fastest.model, fastest.timing.threads)
        assert choice.text.startswith(f"{fastest.model} in sbn on {choice.threads} thread")


def test_answers_without_accuracy_or_times(collected: Collected) -> None:
    cases = [builder.Case(FAST, 2.0), builder.Case(GOOD, 1.0)]
    (choice,) = collected(speed=builder.benchmark(cases)).choices
    assert (choice.kind, choice.model) == ("fastest", "good")


def test_answers_without_times(collected: Collected) -> None:
    report = collected(a=accuracy(FAST, 2.0), b=accuracy(GOOD, 4.0))
    (choice,) = report.choices
    assert (choice.kind, choice.model) == ("best", "good")
    assert report.comparisons == []


def test_answers_of_a_profile(collected: Collected) -> None:
    content = builder.profile(FAST, [("a", "binary", 10), ("b", "binary", 500)])
    (choice,) = collected(layers=content).choices
    assert (choice.kind, choice.text) == ("bottleneck", "fast: the bottleneck is b")


def test_ratios_say_what_they_are_relative_to(collected: Collected) -> None:
    cases = [builder.Case(FAST, 1.0), builder.Case(FAST, 5.0, "torch"), builder.Case(GOOD, 8.0)]
    report = collected(speed=builder.benchmark(cases))
    assert [(row.base, row.model, row.engine) for row in report.ratios] == [
        ("fast", "fast", "torch"),
        ("fast", "good", "sbn"),
    ]
    assert {row.base_engine for row in report.ratios} == {"sbn"}


def test_ratios_of_a_phone_are_relative_to_native(collected: Collected, tmp_path: Path) -> None:
    cases = [builder.Case(FAST, 1.0, "native"), builder.Case(GOOD, 8.0, "native")]
    report = collected(phone=builder.benchmark(cases, machine=builder.BOARD))
    (row,) = report.ratios
    assert (row.base, row.base_engine, row.model, row.engine) == (
        "fast",
        "native",
        "good",
        "native",
    )
    write(report, tmp_path / "report.html")
    assert "Time divided by that of fast in native," in (tmp_path / "report.html").read_text()
