"""Draws sbn_deploy's packages and their arrows: `python -m tests.tools.package_graph`.

The picture stands in docs/architecture.md between two marks. An arrow says "imports"; one that
follows from others is left out.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import grimp

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
MARKS = "<!-- packages: drawn by tests.tools.package_graph -->", "<!-- end of packages -->"


def arrows() -> dict[str, set[str]]:
    """By package or module of sbn_deploy, those that it imports."""
    graph = grimp.build_graph("sbn_deploy", cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = [name.split(".")[1:2] for name in (module, imported)]
            if all(ends) and ends[0] != ends[1]:
                found[ends[0][0]].add(ends[1][0])
    return found


def reduced(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others; there is no circle."""

    def below(name: str) -> set[str]:
        return {name}.union(*(below(other) for other in found.get(name, ())))

    return {
        name: {
            other
            for other in others
            if not any(other in below(third) for third in others - {other})
        }
        for name, others in found.items()
    }


def drawing() -> str:
    """The picture, as Mermaid."""
    lines = [
        f"    {name} --> {other}"
        for name, others in sorted(reduced(arrows()).items())
        for other in sorted(others)
    ]
    return "\n".join(["```mermaid", "graph TD", *lines, "```"])


def drawn_into(page: str) -> str:
    """The page with the picture between its marks."""
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n{drawing()}\n{MARKS[1]}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn_into(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
