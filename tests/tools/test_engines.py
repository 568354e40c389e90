"""The table of engines, from a measurement as `sbn benchmark` writes it."""

from __future__ import annotations

from dataclasses import replace

from ..report import builder
from . import engines


def test_a_row() -> None:
    model = builder.model("cifar-vgg")
    record = builder.benchmark([builder.Case(model, 2.0), builder.Case(model, 1.0, "native")])
    first, second = record.results
    grown = (
        replace(first, start_ms=7.0, peak_bytes=3_000_000),
        replace(second, start_ms=1.25, peak_bytes=None),
    )
    cells = engines.row(replace(record, results=grown)).split(" | ")
    assert cells[0] == "| cifar-vgg"
    assert [round(float(cell)) for cell in cells[1:3]] == [2, 1]
    assert 0.4 < float(cells[3].split()[0]) < 0.6
    assert cells[4:] == ["7.0 / 1.2", "3.0 / – |"]
