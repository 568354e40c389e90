"""The workflow for hosted machines names what there is."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .foreign import PLATFORMS
from .wheels import ROOT

WORKFLOW = ROOT / ".github/workflows/test.yml"


def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return found


def commands() -> list[str]:
    return [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]


def test_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for line in commands() for word in re.findall(r"^make ([\w-]+)", line)]
    assert {"test", "wheels", "test-platforms"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_files_and_folders() -> None:
    named = {
        word for line in commands() for word in re.findall(r"(?<!\S)(?:tests|sbn_deploy)/\S+", line)
    }
    assert len(named) >= 3
    assert all((ROOT / word).exists() for word in named)


def test_every_wheel_is_installed_somewhere() -> None:
    rows = jobs()["installed"]["strategy"]["matrix"]["include"]
    assert {row["wheel"] for row in rows} == set(PLATFORMS)


def test_options_of_cmake() -> None:
    known = (ROOT / "runtime/CMakeLists.txt").read_text()
    for line in commands():
        for name in re.findall(r"-D(SBN_\w+)=", line):
            assert f"option({name} " in known
