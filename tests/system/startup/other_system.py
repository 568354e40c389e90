"""Linux, as our packages would find Windows or macOS.

They import another `os`, `signal` … which lacks what the system lacks, and no `fcntl` where there
is none; `sys.platform` is the other's for them. /proc and /sys are not there. What the other system
has and Linux lacks is in other_system.c, and, of Python's modules for Windows, below. On Windows a
file that is open or mapped is neither replaced nor deleted, and some names cannot be given.

All other packages see this machine as it is: they have been ported by others.
"""

from __future__ import annotations

import builtins
import ctypes
import fcntl
import importlib.machinery
import json
import os
import pathlib
import re
import resource
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

PACKAGES = ("sbn_deploy", "sbn_converters", "sbn_runtime")
WINDOWS_NAMES = re.compile(
    r'.*[<>:"|?*\x00-\x1f].*|.*[. ]|(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.I
)
# It names the native libraries, which are this machine's.
NATIVE = "sbn_runtime.native"
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


def install(description: str) -> None:
    """Everything from here on; see `tests.system.other.environment` for the description."""
    told = json.loads(description)
    given = _windows(told["library"]) if told["platform"] == "win32" else _macos()
    given.setdefault("sys", {})["platform"] = told["platform"]
    system = _System(told["hidden"], told["missing"], given)
    sys.meta_path.insert(0, _Finder(system))
    sys.addaudithook(_without_kernel_files)
    if told["platform"] == "win32":
        sys.addaudithook(_files_of_windows)


class _Altered(ModuleType):
    """A module without some names, and with others."""

    def __init__(self, real: ModuleType, hidden: Sequence[str], given: dict[str, Any]) -> None:
        super().__init__(real.__name__, real.__doc__)
        vars(self).update(given, _real=real, _hidden=frozenset(hidden))

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


class _System:
    """The modules that our packages import."""

    def __init__(
        self, hidden: dict[str, list[str]], missing: list[str], given: dict[str, Any]
    ) -> None:
        self._hidden, self._missing, self._given = hidden, missing, given
        self._altered: dict[str, ModuleType] = {}
        self.builtins = {**vars(builtins), "__import__": self._import}

    def _import(
        self,
        name: str,
        variables: Any = None,
        local: Any = None,
        wanted: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and name in self._missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if level == 0 and isinstance(found := self._given.get(name), ModuleType):
            return found
        module = __import__(name, variables, local, wanted, level)
        hidden, given = self._hidden.get(module.__name__), self._given.get(module.__name__)
        if level or (hidden is None and given is None):
            return module
        if module.__name__ not in self._altered:
            self._altered[module.__name__] = _Altered(module, hidden or [], given or {})
        return self._altered[module.__name__]


class _Finder:
    """Finds our packages where they are, and lets their modules import from the system."""

    def __init__(self, system: _System) -> None:
        self._system = system

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in PACKAGES:
            return None
        finders = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in finders)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                if name != NATIVE:
                    vars(module)["__builtins__"] = self._system.builtins
                execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _macos() -> dict[str, Any]:
    """What Python does otherwise on macOS."""

    def usage(who: int) -> Any:
        # In bytes there.
        return SimpleNamespace(ru_maxrss=resource.getrusage(who).ru_maxrss * 1024)

    return {"resource": {"getrusage": usage}}


def _windows(library: str) -> dict[str, Any]:
    """What Python has on Windows only."""
    import psutil

    msvcrt, winreg = ModuleType("msvcrt"), ModuleType("winreg")

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == (msvcrt.LK_NBLCK, 1, 0)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None

    vars(msvcrt).update(LK_NBLCK=2, locking=locking)
    registry = {
        r"HARDWARE\DESCRIPTION\System\CentralProcessor\0": {
            "ProcessorNameString": "AMD Ryzen 7 5800X 8-Core Processor             "
        }
    }

    @contextmanager
    def open_key(root: int, path: str):  # type: ignore[no-untyped-def]
        if path not in registry:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        yield registry[path]

    vars(winreg).update(
        HKEY_LOCAL_MACHINE=0x80000002,
        OpenKey=open_key,
        QueryValueEx=lambda key, name: (key[name], 1),
    )

    class Process(psutil.Process):
        def memory_info(self) -> Any:
            size = super().memory_info().rss
            return SimpleNamespace(rss=size, peak_wset=size)

    # Paths are compared without regard to case.
    pathlib.PurePath.__lt__ = (  # type: ignore[method-assign]
        lambda path, other: str(path).lower() < str(other).lower()
    )

    def load(name: str | None, *rest: Any) -> ctypes.CDLL:
        if name is None:
            raise TypeError("argument of type 'NoneType' is not iterable")
        return ctypes.CDLL(name, *rest)

    return {
        "ctypes": {"WinDLL": lambda name: ctypes.CDLL(library), "CDLL": load},
        "msvcrt": msvcrt,
        "os": {"name": "nt"},
        "psutil": {"Process": Process},
        "signal": {"SIGBREAK": 21},
        "subprocess": {"CREATE_NEW_PROCESS_GROUP": 0},
        "winreg": winreg,
    }


def _caller() -> str:
    """The file of who called the standard library."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_code.co_filename.startswith((_STANDARD_LIBRARY, "<frozen")):
        if "site-packages" in frame.f_code.co_filename:
            break
        frame = frame.f_back
    return frame.f_code.co_filename


def _without_kernel_files(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("open", "os.listdir", "os.scandir") or not isinstance(arguments[0], str):
        return
    if not arguments[0].startswith(("/proc", "/sys")):
        return
    if any(f"/{package}/" in _caller() for package in PACKAGES):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


def _files_of_windows(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("os.remove", "os.rename", "os.rmdir"):
        changed = arguments[: 2 if event == "os.rename" else 1]
        held = _held()
        for path in changed:
            if (
                os.path.realpath(path) in held
                and "/tempfile.py" not in sys._getframe(1).f_code.co_filename
            ):
                raise PermissionError(
                    13, "The process cannot access the file because it is in use", path
                )
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & os.O_CREAT:
        name = os.path.basename(arguments[0])
        if WINDOWS_NAMES.fullmatch(name) and name not in (".", ".."):
            raise OSError(22, "Invalid argument", arguments[0])


def _held() -> set[str]:
    """The files that this process has open or mapped."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue
    with open("/proc/self/maps") as maps:
        found |= {line.split(None, 5)[5].rstrip("\n") for line in maps if "/" in line}
    return found
