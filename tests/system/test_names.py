"""No name that only some systems have is used outside the modules that are for these systems."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from .other import MODULES, SYSTEMS, hidden, missing

ROOT = Path(__file__).parents[2]
PACKAGES = ("sbn_deploy", "converters/sbn_converters", "runtime/sbn_runtime")
OWNERS = ("sbn_deploy/system", "runtime/sbn_runtime/system")
# On Windows in any case, with any ending, and before 11 in any folder.
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def sources() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.is_relative_to(ROOT / OWNERS[0]) and not path.is_relative_to(ROOT / OWNERS[1])
    ]


def used(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of what is used of `MODULES`; a name that is asked for is left out."""
    asked = {
        (ast.unparse(call.args[0]), call.args[1].value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "hasattr"
        and isinstance(call.args[1], ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from ((node.lineno, name.name, "") for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, module, name.name) for name in names)
            case ast.Attribute(value=ast.Name(module), attr=name) if (module, name) not in asked:
                yield node.lineno, module, name


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_name_is_used_that_a_system_lacks(system: str) -> None:
    lacking, gone = hidden(system), missing(system)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {module}.{name}"
        for path in sources()
        for line, module, name in used(ast.parse(path.read_text(encoding="utf-8")))
        if module in MODULES and (module in gone or name in lacking[module])
    ]
    assert found == []


def test_the_check_sees_what_is_lacking() -> None:
    tree = ast.parse(
        "import fcntl, os\n"
        "from signal import SIGKILL\n"
        "os.fork()\n"
        "if hasattr(os, 'getuid'): os.getuid()\n"
    )
    assert {(module, name) for _, module, name in used(tree)} == {
        *(("fcntl", ""), ("os", ""), ("signal", "SIGKILL"), ("os", "fork"))
    }
    assert "fcntl" in missing("win32")
    assert {"fork", "register_at_fork"} <= set(hidden("win32")["os"])
    assert "SIGKILL" in hidden("win32")["signal"]
    assert "sched_setaffinity" in hidden("darwin")["os"]


def test_every_file_can_be_checked_out_on_windows() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a clone of the repository")
    names = [PurePosixPath(name) for name in listed.stdout.split("\0") if name]
    assert names
    alike = defaultdict(set)
    for name in names:
        for part in name.parts:
            assert not re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$', part), name
            assert not RESERVED.fullmatch(part), name
        for path in (name, *name.parents):
            alike[str(path).lower()].add(str(path))
    assert [paths for paths in alike.values() if len(paths) > 1] == []
