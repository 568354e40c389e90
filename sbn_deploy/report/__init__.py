"""`sbn report`: measurements as one page to read, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from sbn_deploy.records.files import is_measurement
from sbn_runtime.errors import InputError
from sbn_runtime.files import write_atomically

from .collect import collect
from .content import Report
from .page import render

__all__ = ["Report", "check_output", "collect", "write"]

SUFFIXES = (".html", ".htm")


def check_output(path: Path) -> Path:
    """The JSON file that goes with the page `path`.

    Raises:
        InputError: `path` does not end as a page does, or a measurement would be overwritten.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: a report is an HTML page; name it {path.stem or 'report'}.html")
    data = path.with_suffix(".json")
    if is_measurement(data):
        raise InputError(
            f"{data} is a measurement that the report's data would overwrite; give the report"
            " another name"
        )
    return data


def write(report: Report, path: Path) -> None:
    """Writes the page `path` and the JSON beside it.

    Raises what `check_output` does, and OutputError.
    """
    data = check_output(path)
    page = render(report)
    text = json.dumps(dataclasses.asdict(report), ensure_ascii=False)
    write_atomically(data, f"{text}\n".encode())
    write_atomically(path, page.encode())
