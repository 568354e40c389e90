"""Names that a file may hold and that would do harm where they are not taken for text."""

from __future__ import annotations

NASTY = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a\n# A heading\r\n- a list",
    "a`b``c",
    "a|b\\|c",
    "*bold* _slanted_ ~~gone~~ [link](x) ![image](x) $x$ snake_case",
    "&lt;&#42;&amp;",
    "1. one",
    "- minus",
    "#no heading",
    "> quoted",
    'x"); evil(); ("',
    "x'; evil; '",
    "$(touch owned) `touch owned` ${HOME} $name",
    "%s %n ??/ ???>",
    "*/ evil(); /*",
    "\u202edlo\u2066",
    "\x1b[31mred\x00\x7f\x85\u2028\u2029",
    "caf\udce9",
    "--option",
    "..",
    "../../up",
    "C:\\windows",
    "Größe 大きさ 🤖",
    " spaces ",
    "\\",
    "\\u0041\\n",
    "{{ 7 * 7 }} {% raw %}",
    "",
)

UNICODE = tuple(name for name in NASTY if "\udce9" not in name)
"""Those that are Unicode: all but one, which is the name of a file in another encoding."""
