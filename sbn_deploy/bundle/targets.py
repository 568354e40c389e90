"""The platforms that a model is bundled for, and the library that each needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sbn_runtime import MissingDependencyError, library_path

# e_machine of an ELF header.
X86_64, AARCH64 = 62, 183

# How to get what is built for 64-bit ARM besides.
CROSS_REMEDY = (
    "in the folder of the source, `sudo apt-get install g++-aarch64-linux-gnu && pip install -C"
    " cmake.define.SBN_AARCH64=ON .` builds it; the wheel for x86-64 of `make wheels` has it"
)
ARM_REMEDY = f"{CROSS_REMEDY}, and so has any installation on 64-bit ARM"


@dataclass(frozen=True)
class Target:
    """A platform.

    Attributes:
        name: as `sbn bundle --target` takes it.
        machine: `e_machine` of its programs.
        model_folder, library_folder: where the files lie in the bundle; "" is its top.
        remedy: how to get the library where this installation has none.
    """

    name: str
    machine: int
    model_folder: str = ""
    library_folder: str = ""
    remedy: str = ARM_REMEDY

    @property
    def android(self) -> bool:
        return self.name.startswith("android")

    def library(self) -> Path:
        """The library for this platform. It needs no libc: Android and Linux share it.

        Raises:
            MissingDependencyError: this installation has none.
        """
        cross_built = Path(str(files("sbn_deploy").joinpath("libraries/aarch64/libsbn.so")))
        for path in (library_path(), cross_built):
            if path.is_file() and _machine(path) == self.machine:
                return path
        raise MissingDependencyError(
            f"this installation has no libsbn.so for {self.name}: {self.remedy}"
        )


TARGETS = {
    target.name: target
    for target in (
        Target("android-arm64", AARCH64, "assets/", "jniLibs/arm64-v8a/"),
        Target("linux-arm64", AARCH64),
        Target("linux-x86_64", X86_64, remedy="bundle on an x86-64 machine"),
    )
}


def _machine(library: Path) -> int:
    with library.open("rb") as file:
        header = file.read(20)
    return int.from_bytes(header[18:20], "little") if header[:4] == b"\x7fELF" else 0
