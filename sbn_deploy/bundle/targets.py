"""The platforms that a model is bundled for, and what each needs that was compiled for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sbn_runtime import MissingDependencyError, library_path

# e_machine of an ELF header.
X86_64, AARCH64 = 62, 183

OPERATORS, RUNTIME = "libsbn.so", "libsbn_native.so"
WEB_LIBRARY, ANDROID_LIBRARY = "sbn.wasm", "sbn-runtime.zip"
IOS_FRAMEWORK = "sbn_native.xcframework"
IOS_LIBRARIES = tuple(
    f"{IOS_FRAMEWORK}/{slice}/libsbn_native.a"
    for slice in ("ios-arm64", "ios-arm64_x86_64-simulator")
)


def _remedy(packages: str, option: str) -> str:
    """How to get what is built besides where CMake is told to."""
    wheels = "the wheels that `make wheels` builds on Linux have it"
    if sys.platform != "linux":
        return wheels
    return (
        f"in the folder of the source, `sudo apt-get install {packages} && pip install -C"
        f" cmake.define.{option}=ON .` builds it; {wheels}"
    )


CROSS_REMEDY = _remedy("g++-aarch64-linux-gnu", "SBN_AARCH64")
ARM_REMEDY = f"{CROSS_REMEDY}, and so has any installation on 64-bit ARM Linux"
ANDROID_REMEDY = _remedy("clang-19 lld-19 openjdk-17-jdk-headless", "SBN_ANDROID")
IOS_REMEDY = _remedy("clang-19 lld-19 llvm-19", "SBN_IOS")
WEB_REMEDY = _remedy("clang-19 lld-19", "SBN_WEB")


@dataclass(frozen=True)
class Target:
    """A platform.

    Attributes:
        name: as `sbn bundle --target` takes it.
        folder: that of its libraries among those that were built for other platforms.
        needs: their names.
        remedy: how to get them where this installation has none.
        machine: `e_machine` of its programs; 0 where this machine's libraries never serve.
    """

    name: str
    folder: str
    needs: tuple[str, ...]
    remedy: str
    machine: int = 0

    def libraries(self) -> tuple[Path, ...]:
        """What was compiled for this platform, by `needs`.

        Raises:
            MissingDependencyError: this installation lacks one.
        """
        folder = built(self.folder)
        if self.machine and _machine(library_path()) == self.machine:
            folder = library_path().parent
        found = tuple(folder / name for name in self.needs)
        for path in found:
            if not path.is_file():
                raise MissingDependencyError(
                    f"this installation has no {path.name} for {self.name}: {self.remedy}"
                )
        return found


TARGETS = {
    target.name: target
    for target in (
        Target("android", "android", (ANDROID_LIBRARY,), ANDROID_REMEDY),
        Target("ios", "ios", IOS_LIBRARIES, IOS_REMEDY),
        Target("linux-arm64", "aarch64", (OPERATORS, RUNTIME), ARM_REMEDY, AARCH64),
        Target("linux-x86_64", "x86_64", (OPERATORS, RUNTIME), "bundle on x86-64 Linux", X86_64),
        Target("web", "web", (WEB_LIBRARY,), WEB_REMEDY),
    )
}


def built(name: str) -> Path:
    """What was installed beside the Python, under its name in `libraries`."""
    return Path(str(files("sbn_deploy").joinpath("libraries", name)))


def _machine(library: Path) -> int:
    with library.open("rb") as file:
        header = file.read(20)
    return int.from_bytes(header[18:20], "little") if header[:4] == b"\x7fELF" else 0
