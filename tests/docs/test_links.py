"""Links between the documents, and the figures that they show."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from .pages import DOCUMENTS, ROOT, name

FIGURE_BYTES = 300_000
LINK = re.compile(r"!?\[[^\]]*\]\((?!\w+:)(?P<path>[^)#]*)(#(?P<anchor>[^)]*))?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# Written when the site is built.
WRITTEN = (ROOT / "docs/command-line.md",)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        target = (document.parent / link["path"]) if link["path"] else document
        if target in WRITTEN:
            continue
        assert target.exists(), link[0]
        if link["anchor"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert link["anchor"] in anchors, link[0]


def test_figures_are_used_and_small() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    figures = list((ROOT / "docs/figures").iterdir())
    assert figures
    for figure in figures:
        assert f"(figures/{figure.name})" in text
        assert figure.stat().st_size < FIGURE_BYTES


@pytest.mark.long
def test_figures_are_drawn_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    script: dict[str, Any] = runpy.run_path(str(ROOT / "docs/make_figures.py"))
    # Enumerating networks takes minutes.
    quick = [
        draw for key, draw in script.items() if key.startswith("draw_") and key != "draw_depth"
    ]
    drawn = []
    for once in ("once", "twice"):
        target = tmp_path / once
        target.mkdir()
        for draw in quick:
            draw.__globals__["FOLDER"] = target
            draw()
        drawn.append({path.name: path.read_bytes() for path in target.iterdir()})
    assert drawn[0] == drawn[1]
