"""Writes a comparison of models as Markdown, JSON and a plot."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sbn_runtime.files import write_atomically

COLUMNS = (
    "model",
    "test accuracy",
    "file size",
    "p50 ms",
    "p90 ms",
    "images/s",
)


@dataclass(frozen=True)
class Row:
    """One model of the comparison.

    `p50_ms` and `p90_ms` are of one image on one thread, `images_per_s` of
    large batches on one thread; `low` and `high` bound the accuracy at 95 %.
    """

    model: str
    accuracy: float
    low: float
    high: float
    file_bytes: int
    p50_ms: float
    p90_ms: float
    images_per_s: float

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `COLUMNS`."""
        return (
            self.model,
            f"{self.accuracy:.2%}",
            f"{self.file_bytes / 1000:,.0f} kB",
            f"{self.p50_ms:.3f}",
            f"{self.p90_ms:.3f}",
            f"{self.images_per_s:,.0f}",
        )


def write_report(
    folder: Path, title: str, rows: Sequence[Row], details: Mapping[str, Any]
) -> tuple[Path, Path, Path]:
    """Writes report.md, report.json and accuracy-latency.png into `folder`.

    `details` (the machine, settings) goes into the JSON as it is, and its
    `machine` entry into the Markdown. Returns the three paths.
    """
    plot = folder / "accuracy-latency.png"
    draw_plot(plot, title, rows)
    record = {"title": title, "rows": [asdict(row) for row in rows], **details}
    json_file, text = folder / "report.json", folder / "report.md"
    write_atomically(json_file, (json.dumps(record, indent=2) + "\n").encode())
    write_atomically(text, _markdown(title, rows, details, plot.name).encode())
    return text, json_file, plot


def draw_plot(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Draws accuracy, with its interval, against median latency on a logarithmic axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        error = [[100 * (row.accuracy - row.low)], [100 * (row.high - row.accuracy)]]
        axes.errorbar(
            row.p50_ms,
            100 * row.accuracy,
            yerr=error,
            fmt="o",
            markersize=8,
            capsize=3,
            label=row.model,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:.2g}")
    axes.set_xlabel("latency of one image on one thread, median, ms")
    axes.set_ylabel("test accuracy, % (95 % interval)")
    axes.set_title(title)
    axes.grid(alpha=0.3, which="both")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())


def _markdown(title: str, rows: Sequence[Row], details: Mapping[str, Any], plot: str) -> str:
    lines = [
        f"# {title}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" + "|---:" * (len(COLUMNS) - 1) + "|",
        *("| " + " | ".join(row.cells()) + " |" for row in rows),
        "",
        "Latency is of one image on one thread; images/s of batches on one thread.",
        "",
        f"![accuracy against latency]({plot})",
        "",
        "## Machine",
        "",
        *(f"- {name}: {value}" for name, value in details["machine"].items() if value is not None),
        "",
    ]
    return "\n".join(lines)
