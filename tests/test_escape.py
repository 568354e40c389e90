"""Text comes out of each language as the text that went in."""

from __future__ import annotations

import ast
import html
import json
import re
import subprocess
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sbn_deploy import escape

from .nasty import NASTY

ANY = st.one_of(
    st.sampled_from(NASTY),
    st.text(),
    st.text(alphabet="\\`*_[]<>|~$#&;-+=!.1a \n\"'{}()/?%"),
)
PAGES = MarkdownIt("commonmark").enable(["table", "strikethrough"])


class Text(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(page: str) -> tuple[str, list[str]]:
    found = Text(PAGES.render(page))
    return " ".join(found.text.split()), found.tags


def one_line(text: str) -> str:
    return " ".join(escape.visible(text).split())


@given(ANY)
def test_visible_text_is_one_line_without_controls(text: str) -> None:
    shown = escape.visible(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown
    )
    assert escape.visible(shown) == shown


@given(ANY)
def test_markdown_shows_the_text(text: str) -> None:
    assert "<" not in escape.markdown(text)
    assert seen(f"It is {escape.markdown(text)} here") == (one_line(f"It is {text} here"), ["p"])
    if text.strip():
        assert seen(escape.markdown(text)) == (one_line(text), ["p"])
        assert seen(f"# {escape.markdown(text)} .") == (one_line(f"{text} ."), ["h1"])


@given(ANY)
def test_a_cell_of_a_table_stays_one(text: str) -> None:
    table = (
        f"| a | b |\n| --- | --- |\n| {escape.markdown(text)} | {escape.markdown_cell(text)} |\n"
    )
    words, tags = seen(table)
    assert tags.count("td") == 2
    assert tags.count("tr") == 2
    assert tags.count("code") == 1
    assert words == one_line(f"a b {text} {text}")


@given(ANY)
def test_a_code_span_holds_the_text(text: str) -> None:
    words, tags = seen(f"It is {escape.markdown_code(text)} here")
    assert tags == ["p", "code"]
    assert words == one_line(f"It is {text} here")


@given(ANY)
def test_python_reads_the_text(text: str) -> None:
    written = escape.python(text)
    assert ast.literal_eval(written) == text
    assert len(written.splitlines()) == 1


@given(ANY)
def test_javascript_reads_the_text(text: str) -> None:
    """Its strings are JSON's; in a page none may end the script."""
    written = escape.javascript(text)
    assert json.loads(written) == text
    assert "<" not in written
    assert len(written.splitlines()) == 1


@given(ANY)
def test_html_shows_the_text(text: str) -> None:
    written = escape.html(text)
    assert html.unescape(written) == escape.visible(text)
    assert not set("<>\"'") & set(written)


@given(ANY)
def test_a_comment_ends_where_it_did(text: str) -> None:
    written = escape.comment(text)
    assert "*/" not in written
    assert "/*" not in written
    assert len(written.splitlines()) <= 1


def test_a_shell_reads_the_text() -> None:
    names = [name for name in NASTY if "\0" not in name]
    words = " ".join(map(escape.shell, names))
    assert len(words.splitlines()) == 1
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"], check=True, capture_output=True
    ).stdout
    assert read == b"".join(n.encode("utf-8", "surrogateescape") + b"\0" for n in names)
