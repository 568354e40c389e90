"""What the standard library has on a system, by the stubs that come with mypy."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import mypy

_STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"


@cache
def names(module: str, platform: str) -> frozenset[str]:
    """The names in a module on a system, as `sys.platform` calls it; none where it is missing."""
    path = _STUBS / f"{module}.pyi"
    if not path.is_file():
        path = _STUBS / module / "__init__.pyi"
    system = {"sys": SimpleNamespace(platform=platform, version_info=sys.version_info)}
    return frozenset(_bound(ast.parse(path.read_text(encoding="utf-8")).body, system))


def _bound(body: Iterable[ast.stmt], system: dict[str, SimpleNamespace]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.If(test, then, other):
                holds = eval(compile(ast.Expression(test), "stub", "eval"), dict(system))
                yield from _bound(then if holds else other, system)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                yield name
