"""What a checkpoint says besides its network."""

from __future__ import annotations

from sbn_deploy.data.dataset import of_pixels

META = {
    "data": "digits",
    "classes": ["0", "1"],
    "seed": 3,
    "preprocess": of_pixels(1, 8, 8).to_json(),
}
