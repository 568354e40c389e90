from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import t

from .accuracy import BASE, CPU, ROWS, TWIN, Found, commands, page, plot, pooled, results, table

SCORES = {BASE: (0.70, 0.72), "batches of 32": (0.75, 0.79), TWIN: (0.80,)}


@pytest.fixture
def found(tmp_path: Path) -> list[Found]:
    for name, scores in SCORES.items():
        for seed, score in enumerate(scores):
            folder = ROWS[name].folder(tmp_path, seed)
            folder.mkdir(parents=True)
            form = "fp32" if name == TWIN else "thresholded"
            metrics = {"metrics": {form: {"accuracy": score}}}
            (folder / "metrics.json").write_text(json.dumps(metrics))
            (folder / CPU).write_text('{"cpu_seconds": 100}')
    return Found.all(results(tmp_path / "none.json", tmp_path))


def test_the_deviation_is_that_within_rows(found: list[Found]) -> None:
    # Half of 2² and of 4², of one degree of freedom each.
    assert pooled(found) == (pytest.approx(((2 + 8) / 2) ** 0.5), 2)


def test_the_best_row_comes_first_with_its_interval(found: list[Found]) -> None:
    lines = table(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == [TWIN, "batches of 32", BASE]
    half = t.ppf(0.975, 2) * 5**0.5 * (1 / 2 + 1 / 2) ** 0.5
    assert lines[3].split("|")[2:4] == [" 77.0 % ", f" +6.0 ± {half:.1f} "]


def test_commands_name_the_checkpoint_of_the_twin(tmp_path: Path) -> None:
    rows = [Found(ROWS[name], {"thresholded": [1.0]}, 1.0) for name in (BASE, "taught by the twin")]
    first, taught = commands(rows, tmp_path).splitlines()
    assert "teacher" not in first
    assert f"teacher={ROWS[TWIN].folder(tmp_path, 0) / 'checkpoint.safetensors'}" in taught


def test_the_page_has_the_table_and_a_plot(found: list[Found], tmp_path: Path) -> None:
    assert table(found) in page(found, tmp_path)
    plot(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_known_is_kept(found: list[Found], tmp_path: Path) -> None:
    known = tmp_path / "known.json"
    known.write_text(json.dumps({BASE: {"7": {"thresholded": 74.0, "cpu_seconds": 100}}}))
    both = Found.all(results(known, tmp_path))
    assert both[0].thresholded == [74.0, 70.0, 72.0]
    assert [one.row for one in both] == [one.row for one in found]
