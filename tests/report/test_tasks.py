"""Reports of models that answer something else than classes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy.records.files import load_all
from sbn_deploy.report import collect, write
from sbn_runtime import InputError

from . import builder
from .conftest import Collected
from .test_page import Page

ONE, EIGHT = builder.model("one"), builder.model("eight", weights="sample", members=8)
VALUES = {
    "multilabel": [0.75, 0.5, 0.875],
    "regression": [0.5, 0.25, 0.9],
    "segmentation": [0.625, 0.75, 1.5],
    "image": [31.25, 0.125],
}


@pytest.mark.parametrize("task", VALUES)
def test_the_page_shows_the_metrics_of_the_task(
    collected: Collected, tmp_path: Path, task: str
) -> None:
    report = collected(one=builder.task_evaluation(ONE, task, VALUES[task]))
    write(report, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    (choice,) = report.choices
    ((name, value, _),) = choice.figures
    assert choice.kind == "best"
    assert {
        "multilabel": "75.00%",
        "regression": "0.5",
        "segmentation": "62.50%",
        "image": "31.25 dB",
    }[task] == value
    for metric in builder.find(task).metrics:
        assert metric.title in page.text
    assert value in page.text
    assert name == builder.find(task).main.title
    assert ("Each of them: one" in page.text) == (task in ("multilabel", "segmentation"))
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["tasks"][0]["evaluation"]["task"] == task
    assert content["sources"][0]["kind"] == "task-evaluation"


@pytest.mark.parametrize(("task", "best"), [("regression", "one"), ("image", "eight")])
def test_the_best_is_by_the_direction_of_the_metric(
    collected: Collected, task: str, best: str
) -> None:
    lower, higher = VALUES[task], [value * 1.5 for value in VALUES[task]]
    report = collected(
        one=builder.task_evaluation(ONE, task, lower),
        eight=builder.task_evaluation(EIGHT, task, higher),
    )
    (choice,) = report.choices
    assert choice.model == best
    assert choice.text == f"{best} is the best of 2 models for {task}"


def test_with_times_the_metric_stands_beside_them(collected: Collected, tmp_path: Path) -> None:
    report = collected(
        speed=builder.benchmark([builder.Case(ONE, 1.0)]),
        one=builder.task_evaluation(ONE, "regression", VALUES["regression"]),
    )
    (choice,) = report.choices
    assert choice.kind == "fastest"
    assert "Accuracy was not measured" not in choice.detail
    assert ("root mean squared error (RMSE)", "0.5", "50 inputs of npz:data.npz") in choice.figures
    write(report, tmp_path / "report.html")
    Page((tmp_path / "report.html").read_text())


def test_the_newest_of_each_counts(collected: Collected) -> None:
    old = builder.task_evaluation(ONE, "regression", [9.0, 9.0, None])
    old = replace(old, created="2020-01-01T00:00:00+00:00")
    report = collected(
        old=old, new=builder.task_evaluation(ONE, "regression", VALUES["regression"])
    )
    (entry,) = report.tasks
    assert entry.evaluation.metrics[0].value == 0.5
    assert any("evaluated more than once" in note for note in report.notes)


def test_a_metric_that_is_not_defined(collected: Collected, tmp_path: Path) -> None:
    report = collected(one=builder.task_evaluation(ONE, "multilabel", [None, 0.0, 0.5]))
    assert report.choices == []
    write(report, tmp_path / "report.html")
    assert "50.00%" in Page((tmp_path / "report.html").read_text()).text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "ranking"}, "is of unknown task 'ranking'; measure again"),
        ({"metrics": []}, "has other metrics than rmse, mae, r2; measure again"),
        ({"metrics": [{"key": "rmse"}]}, r"metrics\.0\.title: field required; measure again"),
    ],
)
def test_damaged(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    record = builder.task_evaluation(ONE, "regression", VALUES["regression"])
    path = tmp_path / "one.json"
    path.write_text(json.dumps(asdict(record) | change))
    with pytest.raises(InputError, match=message):
        collect(load_all([path], lambda text: None))
