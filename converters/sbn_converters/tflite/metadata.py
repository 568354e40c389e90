"""What the exporter says of a file, inside the file."""

from __future__ import annotations

import json
from typing import Any

from sbn_runtime.errors import ModelError

from .model import Model

METADATA_KEY = "sbn"


def metadata(model: Model, name: str) -> dict[str, Any]:
    """The metadata that the exporter wrote; {} for a file from elsewhere.

    name: what errors call the file. Raises ModelError if it is damaged.
    """
    if METADATA_KEY not in model.metadata:
        return {}
    try:
        # Some writers fill up with zeros.
        loaded = json.loads(model.metadata[METADATA_KEY].rstrip(b"\0"))
        if isinstance(loaded, dict):
            return loaded
    except (ValueError, RecursionError):
        pass
    raise ModelError(f"{name} has damaged metadata; export it again")
