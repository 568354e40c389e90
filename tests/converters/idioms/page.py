"""Writes the tables of docs/own-networks.md: `python -m tests.converters.idioms.page`."""

from __future__ import annotations

from pathlib import Path

from .table import ACTIVATIONS, BETWEEN, LAYERS, WEIGHTS, Idiom

PAGE = Path(__file__).parents[3] / "docs" / "own-networks.md"
BEGIN, END = "<!-- idioms -->\n", "<!-- end of idioms -->\n"
_HEADINGS = [
    ("What a binary layer reads, of a float `x`", ACTIVATIONS),
    ("Weights, of latent ones `w`", WEIGHTS),
    ("Between a binary layer and the next sign", BETWEEN),
    ("Layers, of signs `s` and binary weights `b`", LAYERS),
]


def table(heading: str, idioms: list[Idiom]) -> str:
    """One group as a Markdown table."""
    rows = [f"| {heading} | becomes |", "|---|---|"]
    for idiom in idioms:
        code = idiom.code.replace("|", "\\|")
        found = "packed" if idiom.layers == 1 else f"{idiom.layers} packed layers"
        if idiom.why:
            found = f"float: {idiom.why}"
        rows.append(f"| `{code}` | {found}{f' ({idiom.remark})' if idiom.remark else ''} |")
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """The page with the tables as they are now."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    tables = "\n".join(table(heading, idioms) for heading, idioms in _HEADINGS)
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
