"""Layers by SME2: what is executed, counted under qemu, and what that may take.

LLVM has no model of a core with SME2. A core is described by what is known or guessed of it.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.packaging import sme2 as processor

from . import mca
from .tools import run
from .trace import HERE

COMPILER = "aarch64-linux-gnu-g++"
SOURCES = HERE.parents[1]  # the folder runtime/
LENGTH = 512  # bits of a vector
RATES = (1, 2, 4)  # cycles of a BMOPA


@dataclass(frozen=True)
class Layer:
    """A binary convolution with a border of zeros, or one of bytes.

    Attributes:
        channels, outputs: of it.
        size: height and width of the input.
        stride: of both.
        kernel: height and width of the kernel.
        bytes: of which the input is.
    """

    channels: int
    outputs: int
    size: int
    stride: int = 1
    kernel: int = 3
    bytes: bool = False

    @property
    def name(self) -> str:
        """As the page has it."""
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        kind = f", {self.kernel}×{self.kernel} taps of 8 bits" if self.bytes else ""
        return f"{self.size}×{self.size}×{self.channels} → {self.outputs}{stride}{kind}"

    @property
    def macs(self) -> int:
        """Multiplications and additions of one image."""
        return (self.size // self.stride) ** 2 * self.channels * self.outputs * 9

    def arguments(self, op: str) -> tuple[str, ...]:
        """Those of layer.cc."""
        shape = [self.kernel, self.stride, self.size]
        if self.bytes:
            kind, ending = "pixels", "plain"
        else:
            kind, ending, shape = "conv", OPS[op], [1, *shape]
        sizes = map(str, (self.channels, self.outputs, *shape))
        return (f"{'pixel_' * self.bytes}conv_{op}_sme2", kind, *sizes, ending)


@dataclass(frozen=True)
class Product:
    """A product of float matrices: a 1×1 convolution of `rows` pixels, or a dense layer."""

    rows: int
    terms: int
    columns: int

    @property
    def name(self) -> str:
        """As the page has it."""
        return f"{self.rows}×{self.terms} by {self.terms}×{self.columns}"

    def arguments(self, op: str) -> tuple[str, ...]:
        """Those of layer.cc."""
        sizes = map(str, (self.rows, self.terms, self.columns))
        return (f"{op}_product_sme2", "product", *sizes, "plain")


SAME = tuple(Layer(channels, channels, 3584 // channels) for channels in (64, 128, 256, 512))
NARROWING = tuple(Layer(c, 2 * c, 3584 // c, stride=2) for c in (64, 128, 256))
# How often a network has a layer, each with floats, a residual and signs.
NETWORKS = {
    "quicknet": dict.fromkeys(SAME, 4),
    "birealnet18": {SAME[0]: 4} | dict.fromkeys(SAME[1:], 3) | dict.fromkeys(NARROWING, 1),
}
# And with which layer each begins.
FIRST = {
    "quicknet": Layer(3, 16, 224, stride=2, bytes=True),
    "birealnet18": Layer(3, 64, 224, stride=2, kernel=7, bytes=True),
}
# And the products of floats of each.
_DENSE = Product(1, 512, 1000)
_NARROWING = tuple(Product((3584 // 2 // c) ** 2, c, 2 * c) for c in (64, 128, 256))
PRODUCTS = {
    "quicknet": (Product(56**2, 16, 64), *_NARROWING, _DENSE),
    "birealnet18": (*_NARROWING, _DENSE),
}
OPS = {"threshold": "plain", "float": "residual"}


@dataclass(frozen=True)
class Counts:
    """Instructions of a layer.

    Attributes:
        outer: outer products.
        loaded: bytes that streaming mode loads.
        unit: other instructions for the matrix unit; a store counts for each of its vectors.
        scalar: what the core does beside it in streaming mode.
        switches: of modes, there and back.
        outside: instructions outside streaming mode, NEON among them.
    """

    outer: int = 0
    loaded: int = 0
    unit: int = 0
    scalar: int = 0
    switches: int = 0
    outside: int = 0


@dataclass(frozen=True)
class Core:
    """What is assumed of a core, the best and the worst of it.

    Attributes:
        unit: cycles of another instruction of the matrix unit.
        loads: bytes that the unit loads in a cycle.
        switch: cycles to enter streaming mode and to leave it.
        rate: instructions in a cycle outside.
    """

    name: str
    unit: tuple[float, float]
    loads: tuple[float, float]
    switch: tuple[float, float]
    rate: tuple[float, float]

    def parts(self, counts: Counts, rate: float, case: int) -> dict[str, float]:
        """Cycles by what takes them, an outer product `rate` of them.

        `case` is 0 for the best, 1 for the worst.
        """
        loads = counts.loaded / self.loads[case]
        outer = counts.outer * rate
        return {
            "loads" if loads > outer else "products": max(loads, outer),
            "unit": counts.unit * self.unit[case],
            "modes": counts.switches * self.switch[case],
            "NEON": counts.outside / self.rate[case],
        }

    def cycles(self, counts: Counts, rate: float, case: int) -> float:
        """Their sum."""
        return sum(self.parts(counts, rate, case).values())


CORES = (
    Core("M4-like", unit=(1, 4), loads=(230, 77), switch=(50, 200), rate=(6, 3)),
    Core("C1-like", unit=(1, 8), loads=(128, 32), switch=(100, 1000), rate=(5, 2.5)),
)


def measure(build: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by layer and operator; `build` is CMake's folder of an aarch64 build.

    Raises:
        RuntimeError: there is no emulator of SME2.
    """
    if processor.qemu() is None:
        raise RuntimeError(f"no qemu with SME2. {processor.REMEDY}")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "layer")
        objects = build.glob("CMakeFiles/sbn_operators.dir/**/*.o")
        headers = (f"-I{SOURCES / 'src'}", f"-I{SOURCES / 'tests'}")
        options = ("-std=c++17", "-O2", "-static", "-DSBN_SME2=1", *headers)
        run(COMPILER, *options, str(HERE / "layer.cc"), *map(str, objects), "-o", str(program))
        ops: dict[Layer | Product, tuple[str, ...]] = dict.fromkeys((*SAME, *NARROWING), tuple(OPS))
        ops |= dict.fromkeys((*FIRST.values(), *PRODUCTS["quicknet"]), ("float",))
        return {
            layer.name: {op: asdict(count(program, layer, op)) for op in some}
            for layer, some in ops.items()
        }


def count(program: Path, layer: Layer | Product, op: str) -> Counts:
    """What the kernel executes for the layer, its index included, but not the padded copy."""
    code, streaming, marker = _disassembled(program)
    executed: Counter[int] = Counter()
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        command = processor.command(LENGTH, program, *layer.arguments(op))
        starts = [at for at in code if at - 4 not in code]
        ends = [at + 4 for at in code if at + 4 not in code]
        each = (f"{start:#x}..{end:#x}" for start, end in zip(starts, ends, strict=True))
        ranges = ",".join((f"{marker:#x}+4", *each))
        options = ("-one-insn-per-tb", "-d", "exec,nochain", "-D", log.name, "-dfilter", ranges)
        subprocess.run([command[0], *options, *command[1:]], check=True)
        marks = 0
        for line in log:
            address = int(line.split("/")[1], 16)
            marks += address == marker
            if marks == 1 and address in code:
                executed[address] += 1
    return _counts(executed, code, streaming)


def _disassembled(program: Path) -> tuple[dict[int, str], set[int], int]:
    """The kernel's instructions by address, which of them stream, and where the marker lies."""
    text = run(mca.find("llvm-objdump"), "-d", "--no-show-raw-insn", "--mattr=+sme2", str(program))
    code, streaming, marker = {}, set(), 0
    for function in re.split(r"\n(?=[0-9a-f]+ <)", text):
        head = re.match(r"([0-9a-f]+) <(\w+)>:", function)
        if not head:
            continue
        name = head[2]
        lines = dict(re.findall(r"^ *([0-9a-f]+):\s+(.*)$", function, re.MULTILINE))
        here = {int(address, 16): line for address, line in lines.items()}
        if name == "sbn_marker":
            marker = int(head[1], 16)
        elif name.startswith("sbn_sme2_"):
            streaming |= here.keys()
            code |= here
        elif "4sme2" in name or "build_index" in name:
            code |= here
    return code, streaming, marker


def _counts(executed: Counter[int], code: dict[int, str], streaming: set[int]) -> Counts:
    found: Counter[str] = Counter()
    for address, times in executed.items():
        name, _, operands = code[address].partition("\t")
        if name == "smstart":
            found["switches"] += times
        if address not in streaming:
            found["outside"] += times
            continue
        vectors = len(re.findall(r"\bz\d+\.", operands.split("}")[0])) if "{" in operands else 1
        if re.search(r"z\d+\.\w - z\d+", operands.split("}")[0]):
            vectors = 4
        if name in ("bmops", "usmopa", "fmopa"):
            found["outer"] += times
        elif name.startswith("ld") and re.match(r"\{ *z", operands):
            found["loaded"] += times * (16 if name == "ld1b" else LENGTH // 8 * vectors)
        elif name.startswith("st") and re.match(r"\{ *z", operands):
            found["unit"] += times * vectors
        elif re.search(r"\bz\d+\.|\bpn?\d+\b|\bza", operands):
            found["unit"] += times
        else:
            found["scalar"] += times
    return Counts(**found)
