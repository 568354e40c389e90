"""The section of docs/arm-cycles.md on cores with SME2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import networks as parts_of
from .sme2 import (
    CORES,
    FIRST,
    LENGTH,
    NARROWING,
    NETWORKS,
    PRODUCTS,
    RATES,
    SAME,
    Core,
    Counts,
    Layer,
    Product,
)

GHZ = 4.0
BOARD = "Raspberry Pi 5"  # whose figures stand for what a network does besides
LUT2, MODEL = "convolution, `neon_lut2`", "Apple M1"


def section(figures: dict[str, Any], models: list[str]) -> Iterator[str]:
    """Lines of Markdown.

    Args:
        figures: those of the page; `sme2` and `native` are what the `measure` of each returned.
        models: the heads of the columns of `figures["loops"]`.
    """
    counts: dict[tuple[Layer | Product, str], Counts] = {
        (layer, op): Counts(**here)
        for layer in (*SAME, *NARROWING, *FIRST.values(), *PRODUCTS["quicknet"])
        for op, here in figures["sme2"][layer.name].items()
    }
    yield from (
        "## SME2",
        "",
        "**No hardware has run the kernel set `sme2`.** Its bits are checked under qemu; its"
        " instructions are counted there; its cycles are guesses between bounds, since nobody has"
        " published how often a core starts a BMOPA. If you have an Apple M4 or A18, an Arm C1 or"
        " another processor with SME2, please run these there, with any model, and send the three"
        " files: measurements would replace this section.",
        "",
        "```text",
        "sbn doctor --json > machine.json",
        "SBN_ISA=sme2 sbn benchmark MODEL.onnx -o sme2.json",
        "SBN_ISA=neon_lut2 sbn benchmark MODEL.onnx -o neon_lut2.json",
        "```",
        "",
        f"Instructions of a layer, binary of 3×3 taps with a border of zeros where it says nothing"
        f" else, with vectors of {LENGTH} bits, in thousands: outer products, which are BMOPS,"
        " USMOPA of bytes, and FMOPA of the products of float matrices; what else goes to the"
        " matrix unit, and bytes that it loads; what the core does beside it; and outside streaming"
        " mode, the index and the float epilogue by NEON among it (with residual and signs where"
        " the layer is binary).",
        "",
        "| layer | result | outer products | others of the unit | MB loaded | scalar | outside"
        " | modes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    )
    for (layer, op), c in counts.items():
        cells = (f"{n / 1e3:.1f}" for n in (c.outer, c.unit, c.loaded / 1e3, c.scalar, c.outside))
        yield f"| {layer.name} | {op} | " + " | ".join(cells) + f" | {c.switches} |"
    yield from (
        "",
        "Thousands of cycles for 1, 2 and 4 cycles an outer product, and what takes most of them.",
    )
    for core in CORES:
        yield from _layers(core, counts)
    yield from (
        "",
        f"Milliseconds of whole networks at {GHZ} GHz, one image, one thread, with either engine:"
        " `sbn` is onnxruntime with our operators, `native` our own runtime, whose products of"
        " floats (1×1 convolutions and dense layers) SME2 computes too. Everything else but the"
        f" binary layers and the 8-bit one takes what LLVM's model of the {BOARD} gives it, or half"
        " of that (`others`). With `neon_lut2`, MACs of binary layers are as in the table of loops"
        f" for {MODEL} and their epilogue is the same, and the 8-bit layer and the products of"
        " floats take what the others do. The last column divides best case by best and worst by"
        " worst.",
        "",
        "| core | engine | network | `neon_lut2` | 1 cycle an outer product | 2 | 4 | others"
        " | `neon_lut2` ÷ 2 cycles |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    )
    [loop] = (row for row in figures["loops"] if row[0] == LUT2)
    macs = float(loop[2 + models.index(MODEL)])
    engines = {"sbn": figures["networks"][BOARD], "native": figures["native"]}
    for core in CORES:
        for engine, measured in engines.items():
            for network, layers in NETWORKS.items():
                parts = {name: part["cycles"] for name, part in measured[network]["parts"].items()}
                products = PRODUCTS[network] if engine == "native" else ()
                times = layers | {FIRST[network]: 1} | dict.fromkeys(products, 1)
                cells = _network(core, counts, macs, parts, layers, times)
                yield f"| {core.name} | `{engine}` | {network} | " + " | ".join(cells) + " |"
    yield from ("", *_assumed())


def _network(
    core: Core,
    counts: dict[tuple[Layer | Product, str], Counts],
    macs: float,
    parts: dict[str, float],
    binary: dict[Layer, int],
    times: dict[Layer | Product, int],
) -> list[str]:
    """The cells of a network's row.

    Args:
        macs: a cycle, of the loop of `neon_lut2`.
        parts: cycles without SME2.
        binary: how often there is each binary layer.
        times: how often each that SME2 computes.
    """
    replaced = {parts_of.BINARY, parts_of.FIRST, parts_of.PRODUCT} & parts.keys()
    others = _halved(sum(cycles for name, cycles in parts.items() if name not in replaced))
    without = _halved(sum(parts[name] for name in replaced - {parts_of.BINARY}))
    before, after = [], {rate: [] for rate in RATES}
    for case in (0, 1):
        look_ups = sum(
            count * (layer.macs / macs + counts[layer, "float"].outside / core.rate[case])
            for layer, count in binary.items()
        )
        before.append(look_ups + without[case] + others[case])
        for rate in RATES:
            outer = sum(
                count * core.cycles(counts[layer, "float"], rate, case)
                for layer, count in times.items()
            )
            after[rate].append(outer + others[case])
    gains = sorted(b / a for b, a in zip(before, after[2], strict=True))
    ranges = (_range(*both) for both in (before, *after.values(), others))
    return [*ranges, "–".join(f"{gain:.1f}" for gain in gains)]


def _halved(cycles: float) -> tuple[float, float]:
    """What it may take: half of that, and all."""
    return cycles / 2, cycles


def _range(low: float, high: float) -> str:
    return f"{low / GHZ / 1e6:.1f}–{high / GHZ / 1e6:.1f}"


def _layers(core: Core, counts: dict[tuple[Layer | Product, str], Counts]) -> Iterator[str]:
    yield from (
        "",
        f"| {core.name}: layer | result | 1 | 2 | 4 | most, best case | most, worst case |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    )
    for (layer, op), c in counts.items():
        cells = [
            "–".join(f"{core.cycles(c, rate, case) / 1e3:.0f}" for case in (0, 1)) for rate in RATES
        ]
        for case in (0, 1):
            most = []
            for rate in RATES:
                parts = core.parts(c, rate, case)
                most.append(max(parts, key=lambda name: parts[name]))
            cells.append(most[0] if len(set(most)) == 1 else " / ".join(most))
        yield f"| {layer.name} | {op} | " + " | ".join(cells) + " |"


def _assumed() -> Iterator[str]:
    for core in CORES:
        unit, loads, switch, rate = (
            f"{low:g} to {high:g}" for low, high in (core.unit, core.loads, core.switch, core.rate)
        )
        yield (
            f"- **{core.name}**: {unit} cycles for another instruction of the matrix unit; {loads}"
            f" bytes loaded in a cycle, while these run; {switch} cycles to enter streaming"
            f" mode and to leave it; {rate} instructions in a cycle outside. These are added up."
            + {
                "M4-like": " Public microbenchmarks of M4 give the worse figure of the unit for"
                " arithmetic of single vectors; integer outer products of 8 and 16 bits start every"
                " second cycle there, so that 2 cycles a BMOPA are the likely case.",
                "C1-like": " Nothing about it is published that we know of, its vector length"
                " included: with another than 512 bits, `sme2` is taken where a timing in the first"
                " session says that it is faster.",
            }[core.name]
        )
    yield (
        "- One matrix unit serves a cluster of cores: further threads gain in what is outside"
        " streaming mode only."
    )
    yield (
        "- What is left of quicknet with `sbn` are mostly float 1×1 convolutions, which onnxruntime"
        " computes."
    )
