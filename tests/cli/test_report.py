"""`sbn report` at the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ..command import sbn
from ..report import samples


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    return samples.single(folder)


def test_a_folder_becomes_a_page(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    outcome = sbn("report", runs, "-o", page)
    assert outcome.status == 0, outcome
    assert outcome.stdout.startswith("digits in sbn on 1 thread classifies ")
    assert outcome.stderr == f"written: {page} and {page.with_suffix('.json')}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    data = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert data["format"] == "sbn-report"
    assert sorted(source["file"] for source in data["sources"]) == sorted(
        path.name for path in runs.iterdir()
    )


def test_json_shows_what_is_written(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    outcome = sbn("report", runs / "speed.json", runs / "accuracy.json", "-o", page, "--json")
    assert outcome.json == json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_report_beside_its_measurements_can_be_made_again(runs: Path) -> None:
    for _ in range(2):
        assert sbn("report", runs, "-o", runs / "report.html").status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments are required: RUN, -o/--output"),
        (["runs"], "arguments are required: -o/--output"),
        (["none.json", "-o", "report.html"], "cannot read none.json: No such file"),
        (["none", "-o", "report.html"], "cannot read none: No such file"),
        (["runs", "-o", "report.md"], "a report is an HTML page; name it report.html"),
        (["runs", "-o", "none/report.html"], "none: no such folder; create it first"),
        (["runs", "-o", "runs"], "is a folder; name a file in it"),
        (["runs", "-o", "runs/speed.html"], "runs/speed.json is a measurement"),
        (["empty", "-o", "report.html"], "empty: contains no measurement"),
        (["text.json", "-o", "report.html"], "text.json is not valid JSON"),
        (["other.json", "-o", "report.html"], "other.json is not a measurement"),
    ],
)
def test_bad_input(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.json").write_text("no JSON")
    Path("other.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert message in sbn("report", *arguments).refused()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_package_is_named(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise ModuleNotFoundError(name='jinja2')")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    outcome = sbn("report", runs, "-o", tmp_path / "report.html", PYTHONPATH=path)
    assert outcome.refused() == (
        "`sbn report` needs jinja2, which is not installed: pip install 'sbn-deploy[report]'"
    )
