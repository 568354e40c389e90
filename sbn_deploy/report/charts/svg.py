"""SVG elements as text, escaped."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup
from markupsafe import escape as html

from sbn_deploy.escape import visible

# Mean width of a letter of the page's font, as a share of its size; on the safe side.
LETTER = 0.6


def element(tag: str, *children: str | Markup, **attributes: object) -> Markup:
    """`<tag attributes>children</tag>`; text is escaped, Markup is not.

    `_` in a name of an attribute stands for `-`, `class_` for `class`; None leaves it out, and
    numbers are rounded to hundredths.
    """
    said = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _text(value))
        for name, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(
        child if isinstance(child, Markup) else html(visible(child)) for child in children
    )
    if not inside:
        return Markup("<{}{}/>").format(tag, said)
    return Markup("<{}{}>{}</{}>").format(tag, said, inside, tag)


def drawing(
    name: str, width: float, height: float, title: str, description: str, marks: Iterable[Markup]
) -> Markup:
    """A whole picture with what it shows in words; `name` is unique in the page."""
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *marks,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        width=width,
        height=height,
    )


def text(
    x: float, y: float, content: str, *, class_: str | None = None, anchor: str | None = None
) -> Markup:
    """Text with its baseline at y; `anchor` is "middle" or "end", the start by default."""
    return element("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, **attributes: object) -> Markup:
    """A rectangle."""
    return element("rect", x=x, y=y, width=width, height=height, **attributes)


def mark(tip: str, *parts: Markup, class_: str = "") -> Markup:
    """The shapes of one data point, with its tooltip."""
    return element("g", element("title", tip), *parts, class_=f"mark {class_}".strip())


def text_width(content: str, size: float) -> float:
    """About how wide a text is."""
    return len(content) * size * LETTER


def shortened(content: str, letters: int) -> str:
    """The text with its middle left out where it is longer; both ends tell names apart."""
    if len(content) <= letters:
        return content
    end = (letters - 1) // 2
    return f"{content[: letters - 1 - end]}…{content[-end:]}"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return visible(str(value))
