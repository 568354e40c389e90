"""How the classes of records are read: by pydantic, which is asked for nothing here.

pydantic takes the settings from this name in a dataclass; the texts below fields become the
descriptions of the JSON Schema.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Record:
    """A part of a measurement: no number for a text, no NaN, no unknown entries."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "use_attribute_docstrings": True,
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }


def check(holds: bool, what: str) -> None:
    """Raises ValueError, which says `what` is wrong."""
    if not holds:
        raise ValueError(what)
