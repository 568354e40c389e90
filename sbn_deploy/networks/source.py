"""Importing a file that is not part of any installed package."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from sbn_runtime.errors import ConfigError

from .failure import user_error

# By name, the modules that files imported from beside themselves, and from which folder.
_siblings: dict[str, Path] = {}


def search_path(file: Path) -> list[Path]:
    """Where the imports of a file look: its folder, and those above it that hold its package."""
    folder = file.resolve().parent
    found = [folder]
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        folder = folder.parent
        found.append(folder)
    return found


def load_file(file: Path) -> ModuleType:
    """The module of a Python file, which is executed again at each call.

    The module stays in `sys.modules`, under a name that no other file has, so that
    its classes are found there. Call it inside `importable(search_path(file))`.

    Raises:
        ConfigError: no such file, or one that raises while it is imported.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    path, folders = file.resolve(), search_path(file)
    _forget_others(folders)
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    # Inside its package, so that relative imports work.
    package = path.parent.relative_to(folders[-1]).parts
    name = ".".join((*package, f"sbn_{digest}_{path.stem}"))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Compiled here: Python takes a cached file for newer than a source of the same second.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise user_error(str(file), error) from error
    return module


@contextlib.contextmanager
def importable(folders: Sequence[Path]) -> Iterator[None]:
    """Inside it, imports look into the folders first, and the user's code runs apart from ours.

    It sees none of our arguments, what it prints does not mix with our results, and no
    compiled files are left in the folders.
    """
    path, argv, no_bytecode = list(sys.path), sys.argv, sys.dont_write_bytecode
    before = set(sys.modules)
    sys.path[:0] = map(str, folders)
    sys.argv, sys.dont_write_bytecode = ["sbn"], True
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:], sys.argv, sys.dont_write_bytecode = path, argv, no_bytecode
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and any(_is_beside(Path(origin), folder) for folder in folders):
                _siblings[name] = folders[0]


def _is_beside(file: Path, folder: Path) -> bool:
    """Whether a file lies in the folder, but not in an environment that lies there."""
    return (
        file.is_relative_to(folder)
        and not file.is_relative_to(sys.prefix)
        and "site-packages" not in file.parts
    )


def _forget_others(folders: Sequence[Path]) -> None:
    """Drops modules from beside files of other folders: a `layers.py` of one is not another's."""
    for name in [name for name, folder in _siblings.items() if folder not in folders]:
        del _siblings[name]
        sys.modules.pop(name, None)
