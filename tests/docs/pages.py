"""What the documents hold that can be run: fenced blocks, and what a test is given first."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

# What the first line of a block says that is to be saved as a file.
FILE = re.compile(r"# (?P<name>\w+\.py)\n")
PART = re.compile(
    r"^<!-- given\n(?P<given>.*?)^-->$"
    r"|(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Part:
    """A fenced block, or what a reader of the page has by then and a test is given.

    reason: why it is not run; empty if it is. output: of the `text` block behind it.
    """

    document: Path
    line: int
    language: str
    code: str
    reason: str
    output: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def parts(document: Path) -> list[Part]:
    """The parts of a document that are checked, in order; `given` is a language here."""
    text = document.read_text(encoding="utf-8")
    found = list(PART.finditer(text))
    made = []
    for match, after in itertools.zip_longest(found, found[1:]):
        given = match["given"] is not None
        shows = (
            after and after["language"] == "text" and not text[match.end() : after.start()].strip()
        )
        made.append(
            Part(
                document,
                text.count("\n", 0, match.start("given" if given else "code")),
                "given" if given else match["language"],
                match["given"] if given else match["code"],
                match["reason"] or "",
                after["code"] if shows and after else "",
            )
        )
    return made


def documents_with(*languages: str) -> list[Path]:
    """The documents with blocks in one of the languages."""
    return [
        document
        for document in DOCUMENTS
        if any(part.language in languages for part in parts(document))
    ]


def name(document: Path) -> str:
    """The document's path in the repository."""
    return document.relative_to(ROOT).as_posix()
