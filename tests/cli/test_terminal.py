"""What is shown where the terminal's encoding lacks a character."""

from __future__ import annotations

import io
import sys

import pytest

from sbn_deploy.cli import main
from sbn_deploy.commands.common import show_table


@pytest.mark.parametrize("encoding", ["ascii", "koi8-r", "iso-8859-1", "cp1252", "utf-8"])
def test_a_terminal_of_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert main(["predict", "no-such-\N{SNOWMAN}.onnx", "x.png"]) == 2
    show_table(("class",), [("é × 私 … \udcff",)])
    for stream in streams.values():
        stream.flush()
    said = streams["stderr"].buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert said.startswith("sbn: error: no-such-")
    assert len(said.splitlines()) == 1
    shown = streams["stdout"].buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert shown.splitlines()[0] == "class"
    assert len(shown.splitlines()) == 2
