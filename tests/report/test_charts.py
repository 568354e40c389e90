"""Scales, labels, markers and the charts made of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from sbn_deploy.evaluate.calibration import ReliabilityBin
from sbn_deploy.records.benchmark import Timing
from sbn_deploy.records.evaluation import SetScore
from sbn_deploy.records.profile import Layer
from sbn_deploy.report.charts import NARROW, WIDE, confusion, layers, risk, scale, sets, svg
from sbn_deploy.report.charts.accuracy_latency import accuracy_latency
from sbn_deploy.report.charts.labels import Box, around, place
from sbn_deploy.report.charts.looks import Looks
from sbn_deploy.report.charts.markers import SHAPES, marker
from sbn_deploy.report.charts.reliability import reliability_chart
from sbn_deploy.report.content import Accuracy, Comparison, Point

POSITIVE = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=20)


@given(POSITIVE, st.integers(3, 10))
def test_a_scale_holds_its_values_and_ticks(values: list[float], most: int) -> None:
    axis = scale.positive(values, 40, 700)
    assert isinstance(axis, scale.Log) == (max(values) / min(values) > 10)
    for value in values:
        assert 40 <= axis(value) <= 700
    ticks = axis.ticks(most)
    assert len(ticks) <= max(most, 8) + 1
    places = [axis(tick) for tick in ticks]
    assert places == sorted(places)
    assert all(40 - 1e-6 <= place <= 700 + 1e-6 for place in places)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_percentages_stay_within_0_and_100(values: list[float]) -> None:
    axis = scale.shares(values, 300, 0)
    assert 0 <= axis.low < axis.high <= 100
    assert all(0 <= axis(value) <= 300 for value in values)
    assert axis.ticks(6)


@given(st.floats(1e-6, 1e6))
def test_steps_are_round(least: float) -> None:
    step = scale.round_step(least)
    assert least * 0.999 <= step <= 5 * least
    assert f"{step:e}"[0] in "125"


@given(st.lists(st.tuples(st.floats(50, 700), st.floats(30, 370)), min_size=1, max_size=40))
def test_labels_cover_neither_points_nor_each_other(points: list[tuple[float, float]]) -> None:
    area, taken = Box(40, 20, 720, 380), [around(x, y, 6) for x, y in points]
    wanted = [(x, y, 9.0, (f"{i} a rather long name", str(i))) for i, (x, y) in enumerate(points)]
    placed = [label for label in place(wanted, area, taken, []) if label]
    boxes = [
        Box(
            label.x,
            label.y - 11,
            label.x + svg.text_width(label.text, 12),
            label.y + 3,
        )
        for label in placed
    ]
    for i, box in enumerate(boxes):
        assert box.within(area)
        assert not any(box.overlaps(other) for other in (*taken, *boxes[:i]))


def test_a_lonely_point_has_its_full_label() -> None:
    (label,) = place([(300, 200, 9.0, ("name", "1"))], Box(0, 0, 700, 400), [], [])
    assert label is not None
    assert label.text == "name"


def test_labels_keep_off_the_bars_where_they_can() -> None:
    bar = Box(299, 100, 301, 300)
    (label,) = place([(300, 200, 9.0, ("name",))], Box(0, 0, 700, 400), [], [bar])
    assert label is not None
    assert label.x > 300 or label.x + svg.text_width("name", 12) < 300


def test_every_series_has_a_shape_of_its_own() -> None:
    drawn = {re.sub(r" class=\S+( \S+)?", "", marker(i, 0, 0, 5)) for i in range(len(SHAPES))}
    assert len(drawn) == len(SHAPES)


def test_text_is_escaped() -> None:
    drawn = svg.drawing("x", 10, 10, "<a>", '"b"', [svg.text(0, 0, "<script>", class_='"')])
    root = ElementTree.fromstring(drawn)
    assert [element.text for element in root] == ["<a>", '"b"', "<script>"]
    assert root[2].get("class") == '"'


def test_shortened_keeps_both_ends() -> None:
    assert svg.shortened("stage1/block2/conv3", 11) == "stage…conv3"
    assert svg.shortened("short", 11) == "short"


def layer(name: str, us: float, kind: str = "binary") -> Layer:
    return Layer(name=name, op="sbn.Conv", kind=kind, us=us, share=0.1)


def test_of_many_layers_the_longest_are_drawn_in_order() -> None:
    rng = np.random.default_rng(0)
    every = [layer(f"l{i}", float(us)) for i, us in enumerate(rng.permutation(100))]
    drawn = layers.shown(every)
    assert len(drawn) == layers.DRAWN
    assert min(entry.us for entry in drawn) == 100 - layers.DRAWN
    assert drawn == [entry for entry in every if entry in drawn]


def texts(chart: Markup) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(chart).iter("text")]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_layer_chart(width: int) -> None:
    drawn = layers.layer_chart("l", [layer("a", 0.0), layer("b", 3.0, "new")], "b", width)
    assert {"a", "▸ b"} <= set(texts(drawn))
    assert "layer other" in drawn


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 21, 100])
def test_confusion_chart(classes: int) -> None:
    counts = np.random.default_rng(0).integers(0, 3, (classes, classes)).tolist()
    chart = confusion.confusion_chart("c", [f"class {i}" for i in range(classes)], counts)
    numbers = [text for text in texts(chart) if text.isdigit()]
    shown = [str(entry) for row in counts for entry in row if entry]
    assert numbers == (shown if classes <= confusion.NUMBERED else [])
    cells = sum(entry > 0 for row in counts for entry in row)
    assert chart.count("M") + chart.count("heat h") >= cells


def test_risk_of_a_model_that_is_always_right() -> None:
    ElementTree.fromstring(risk.risk_chart("r", [0.5, 1.0], [0.0, 0.0], 0))


def test_empty_bins_are_not_drawn() -> None:
    bins = [
        ReliabilityBin(low=0, high=0.5, count=0, confidence=0, accuracy=0),
        ReliabilityBin(low=0.5, high=1, count=8, confidence=0.9, accuracy=0.75),
    ]
    drawn = reliability_chart("r", bins, 0)
    ElementTree.fromstring(drawn)
    assert drawn.count('class="mark"') == 1
    assert "8 images" in drawn


def comparison(models: int) -> Comparison:
    """Forms of a checkpoint, each in sbn with an accuracy and in fp32 without one."""
    points = [
        Point(
            model=f"m{i}",
            sha256=f"{i:064}",
            form=f"{i + 2} sampled members" + (f", noise × {i % 5 + 1}" if i % 2 else ""),
            timing=Timing(model=f"m{i}", engine=engine, threads=1, batch=1, runs=1, p50_ms=1.0 + i),
            accuracy=Accuracy(0.9, 0.8, 0.95, "digits", 100) if engine == "sbn" else None,
            on_front=i == 0 and engine == "sbn",
            source="speed.json",
        )
        for i in range(models)
        for engine in ("sbn", "onnxruntime-fp32")
    ]
    return Comparison("CPU, avx2 kernels", "digits", 100, 1, points)


def looks(models: int) -> Looks:
    return Looks((p.model, p.form, p.timing.engine) for p in comparison(models).points)


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (2, {"m0, sbn", "m1, sbn", "fp32 in onnxruntime"}),
        (7, {*(f"m{i}, sbn" for i in range(7)), "fp32 in onnxruntime"}),
        (40, {"sampled members, sbn", "sampled members, noise, sbn", "fp32 in onnxruntime"}),
    ],
)
def test_series_are_as_fine_as_there_are_markers(models: int, names: set[str]) -> None:
    points = comparison(models).points
    legend = looks(models).legend((p.model, p.timing.engine) for p in points)
    assert {name for _, name in legend} == names
    assert [series for series, _ in legend] == list(range(len(names)))


def test_a_part_of_a_report_keeps_its_series() -> None:
    shown = looks(3)
    assert shown.legend([("m2", "sbn"), ("m0", "onnxruntime-fp32")]) == [
        (1, "fp32 in onnxruntime"),
        (3, "m2, sbn"),
    ]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_chart_of_one_accuracy(width: int) -> None:
    chart = accuracy_latency("c", comparison(1), None, looks(1), width)
    assert {"accuracy not measured", "accuracy, %"} <= set(texts(chart))
    assert chart.count('class="mark') == 2


def test_of_many_points_those_on_the_front_have_bars() -> None:
    few, many = (
        accuracy_latency("c", comparison(models), None, looks(models), WIDE) for models in (30, 31)
    )
    assert (few.count('class="bar'), many.count('class="bar')) == (30, 1)


def set_score(asked: float, found: float, sizes: tuple[int, ...]) -> SetScore:
    mean = sum(k * n for k, n in enumerate(sizes, 1)) / sum(sizes)
    return SetScore(
        asked=asked,
        coverage=found,
        confidence_low=found - 0.02,
        confidence_high=min(1.0, found + 0.02),
        size=mean,
        size_low=mean,
        size_high=mean,
        sizes=sizes,
        per_class=(),
    )


def test_coverage_is_drawn_where_it_was_found() -> None:
    chart = sets.coverage_chart("c", [set_score(0.8, 0.9, (1, 1)), set_score(0.9, 0.95, (1, 3))], 0)
    assert chart.count('class="mark') == 2
    assert "asked 80.0 %: found 90.0 %; asked 90.0 %: found 95.0 %" in chart
    circles = [e.attrib for e in ElementTree.fromstring(chart).iter("circle")]
    lines = ElementTree.fromstring(chart).iter("line")
    (ideal,) = [e.attrib for e in lines if e.get("class") == "ideal"]
    x1, x2, y1, y2 = (float(ideal[name]) for name in ("x1", "x2", "y1", "y2"))
    # Both lie above the line of what was asked for.
    for circle, asked in zip(circles, (0.8, 0.9), strict=True):
        share = (float(circle["cx"]) - x1) / (x2 - x1)
        height = y1 + share * (y2 - y1)
        assert float(circle["cy"]) < height, asked


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_sizes_of_sets_are_all_drawn(classes: int) -> None:
    numbers = tuple(range(classes, 0, -1))
    chart = sets.sizes_chart("s", set_score(0.9, 0.9, numbers))
    assert chart.count('class="mark') == min(classes, sets.BARS)
    tips = [e.text or "" for e in ElementTree.fromstring(chart).iter("title")][1:]
    shown = [int(re.findall(r"([\d,]+) images", tip)[0].replace(",", "")) for tip in tips]
    assert sum(shown) == sum(numbers)
    assert ("10+" in texts(chart)) == (classes > 10)
