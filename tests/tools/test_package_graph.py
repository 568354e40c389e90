"""The picture of the packages in the documents is of today's imports."""

from __future__ import annotations

from .package_graph import PAGE, arrows, drawn_into, reduced


def test_the_picture_is_fresh() -> None:
    """After a change: python -m tests.tools.package_graph"""
    page = PAGE.read_text(encoding="utf-8")
    assert drawn_into(page) == page


def test_every_package_is_described() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in arrows():
        assert f"| `{name}" in page, name


def test_what_follows_from_others_is_left_out() -> None:
    found = {"a": {"b", "c"}, "b": {"c"}, "d": {"a", "c"}}
    assert reduced(found) == {"a": {"b"}, "b": {"c"}, "d": {"a"}}
