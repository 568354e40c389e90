"""The notebooks run from an empty folder, and are kept without what they printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
RUNNER = ROOT / "docs/site/notebooks.py"


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["from-scratch", "own-network", "own-photos"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["cells"][0]["cell_type"] == "markdown"
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        # One of them in every run of the tests.
        ("from-scratch", "2 of 2 binary layers are packed"),
        pytest.param("own-network", "0 stays float", marks=pytest.mark.long),
        pytest.param("own-photos", "of 60 new photos are right", marks=pytest.mark.long),
    ],
)
def test_notebooks_run(name: str, printed: str) -> None:
    for needed in ("ipykernel", "nbclient", "mkdocs"):
        pytest.importorskip(needed, reason="the extra `docs` is not installed")
    # A process of its own: Jupyter's packages warn of each other.
    done = subprocess.run(
        [sys.executable, RUNNER, ROOT / f"docs/notebooks/{name}.ipynb"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
    assert done.stdout.startswith("# ")
