"""The platforms that a model is bundled for, and the library that each needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sbn_runtime import MissingDependencyError, library_path

# e_machine of an ELF header, and what stands for WebAssembly, which has none.
X86_64, AARCH64, WASM = 62, 183, -1

ARM_LIBRARY, WEB_LIBRARY = "aarch64/libsbn.so", "web/sbn.wasm"

# How to get what is built for 64-bit ARM besides.
CROSS_REMEDY = (
    "in the folder of the source, `sudo apt-get install g++-aarch64-linux-gnu && pip install -C"
    " cmake.define.SBN_AARCH64=ON .` builds it; the wheel for x86-64 of `make wheels` has it"
)
ARM_REMEDY = f"{CROSS_REMEDY}, and so has any installation on 64-bit ARM"
WEB_REMEDY = (
    "in the folder of the source, `sudo apt-get install clang-19 lld-19 && pip install -C"
    " cmake.define.SBN_WEB=ON .` builds it; the wheels of `make wheels` have it"
)


@dataclass(frozen=True)
class Target:
    """A platform.

    Attributes:
        name: as `sbn bundle --target` takes it.
        machine: `e_machine` of its programs, or `WASM`.
        model_folder, library_folder: where the files lie in the bundle; "" is its top.
        remedy: how to get the library where this installation has none.
    """

    name: str
    machine: int
    model_folder: str = ""
    library_folder: str = ""
    remedy: str = ARM_REMEDY

    @property
    def web(self) -> bool:
        return self.machine == WASM

    @property
    def android(self) -> bool:
        return self.name.startswith("android")

    def library(self) -> Path:
        """The library for this platform. It needs no libc: Android and Linux share it.

        Raises:
            MissingDependencyError: this installation has none.
        """
        for path in (library_path(), _cross_built(ARM_LIBRARY), _cross_built(WEB_LIBRARY)):
            if path.is_file() and _machine(path) == self.machine:
                return path
        name = Path(WEB_LIBRARY if self.web else ARM_LIBRARY).name
        raise MissingDependencyError(
            f"this installation has no {name} for {self.name}: {self.remedy}"
        )


TARGETS = {
    target.name: target
    for target in (
        Target("android-arm64", AARCH64, "assets/", "jniLibs/arm64-v8a/"),
        Target("linux-arm64", AARCH64),
        Target("linux-x86_64", X86_64, remedy="bundle on an x86-64 machine"),
        Target("web", WASM, remedy=WEB_REMEDY),
    )
}


def _cross_built(name: str) -> Path:
    return Path(str(files("sbn_deploy").joinpath("libraries", name)))


def _machine(library: Path) -> int:
    with library.open("rb") as file:
        header = file.read(20)
    if header[:4] == b"\0asm":
        return WASM
    return int.from_bytes(header[18:20], "little") if header[:4] == b"\x7fELF" else 0
