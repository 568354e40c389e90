"""Writes the JSON Schema of measurement files: `python -m tests.tools.measurements_schema`."""

from __future__ import annotations

import json
from pathlib import Path

from sbn_deploy.records.files import json_schema

PATH = Path(__file__).parents[2] / "docs" / "measurements.schema.json"

if __name__ == "__main__":
    PATH.write_text(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n")
