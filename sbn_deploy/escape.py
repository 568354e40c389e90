"""Text from files, such as names of models, classes and tensors, as it may stand in what we write.

One function for each language. Whatever the text holds, it comes out as text: it ends no
string, starts no line or command, makes no markup, and does not turn the letters around it.
Functions that return a literal return its quotes too.
"""

from __future__ import annotations

import html as _html
import re
import shlex
import unicodedata

# These turn the direction of the letters behind them, up to the end of the line.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters, separators of lines and paragraphs, halves of surrogate pairs.
_HIDDEN = frozenset({"Cc", "Zl", "Zp", "Cs"})
_MARKUP = re.compile(r"[\\`*\[|~$]|(?<![^\W_])_|_(?![^\W_])")
# What makes a heading, list, quotation or rule of the line that it begins.
_LINE_START = re.compile(r"^(\s*)([-+=#>])|^(\s*\d+)([.)])(?=\s|$)")


def visible(text: str) -> str:
    r"""The text on one line, with what cannot be seen written as `\u202e`."""
    return "".join(_number(letter) if _is_hidden(letter) else letter for letter in text)


def markdown(text: str) -> str:
    """Inline text of Markdown (CommonMark and GitHub's tables)."""
    escaped = _MARKUP.sub(r"\\\g<0>", visible(text))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;")
    return _LINE_START.sub(
        lambda start: f"{start[1] or start[3] or ''}\\{start[2] or start[4]}", escaped
    )


def markdown_code(text: str) -> str:
    """A code span of Markdown, outside tables."""
    shown = visible(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    # One space at each end is not shown.
    space = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def name(text: str) -> str:
    """A name among other words: as it is, or as a string of Python where that is not plain."""
    return text if re.fullmatch(r"[\w./:+-]+", text) else python(text)


def markdown_cell(text: str) -> str:
    """A code span in a table of Markdown, where a bar would end the cell."""
    return markdown_code(text).replace("|", r"\|")


def shell(text: str) -> str:
    """One word of a command for bash and zsh, on one line."""
    if visible(text) == text:
        return shlex.quote(text)
    # The name of a file is bytes: what is no UTF-8 came in as surrogates.
    data = text.encode("utf-8", "surrogateescape")
    return "$'" + "".join(_octal(byte, b"'\\") for byte in data) + "'"


def python(text: str) -> str:
    """A string of Python."""
    return _quoted(text)


def javascript(text: str) -> str:
    """A string of JavaScript, also inside an HTML page."""
    return _quoted(text).replace("<", r"\u003c")


def html(text: str) -> str:
    """Text or the value of an attribute in quotes in an HTML page."""
    return _html.escape(visible(text))


def comment(text: str) -> str:
    """A part of a comment of C or Python that ends with its line or with `*/`."""
    return visible(text).replace("*/", "* /").replace("/*", "/ *")


def _is_hidden(letter: str) -> bool:
    return letter in _DIRECTIONS or unicodedata.category(letter) in _HIDDEN


def _number(letter: str) -> str:
    return f"\\u{ord(letter):04x}"


def _quoted(text: str) -> str:
    """In double quotes, as Python and JavaScript write strings."""
    parts = (f"\\{x}" if x in '"\\' else _number(x) if _is_hidden(x) else x for x in text)
    return '"' + "".join(parts) + '"'


def _octal(byte: int, special: bytes) -> str:
    return f"\\{byte:03o}" if byte in special or not 32 <= byte < 127 else chr(byte)
