"""docs/arm-cycles.md, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import sme2_page
from .boards import BOARDS, LINE, Board
from .loops import CORES
from .networks import (
    NETWORKS,
    PARTS,
    compute_cycles,
    misprediction_cycles,
    ms,
    transfer_ms,
)

# Milliseconds on a Raspberry Pi 4 at 1.5 GHz, one thread, by the table in LCE's repository.
LCE = {"quicknet-small": 27.7, "quicknet": 45.0, "quicknet-large": 77.0}
LCE_BOARD, LCE_GHZ = "Raspberry Pi 4", 1.5
HEADS = {
    "binary": "binary layers",
    "first": "8-bit first layer",
    "float": "pooling, depthwise",
    "onnxruntime": "onnxruntime",
    "rest": "rest",
}


def page(figures: dict[str, Any]) -> str:
    """The page.

    Args:
        figures: `tools`, what compiled and modelled, with versions; `loops`, the lines of the
            first table; `networks`, `native` and `sme2`, what the `measure` of each returned.
    """
    networks = figures["networks"]
    lines = [
        "# Cycles of the ARM kernels",
        "",
        "Estimates: nothing here was timed on a device. `make arm-cycles` writes this page and"
        " [arm-cycles.json](arm-cycles.json).",
        "",
        "## Loops",
        "",
        "MAC a cycle of the innermost loops, as compiled, by LLVM's cycle models of the cores."
        " They leave out caches, what surrounds the loops, and what the models get wrong.",
        "",
        *table(["kernel", "MAC an iteration", *CORES], figures["loops"]),
        "",
        f"{figures['tools']}. The column Cortex-A76 is LLVM's model of Neoverse N1, the same core"
        " for servers. Which of the two sets convolves is decided by timing both once in a"
        " process.",
        "",
        "## Networks",
        "",
        "One image, one thread, everything that `Session.run` executes. The parts are what"
        " `libsbn.so` does in binary layers (convolution with its epilogue and residual,"
        " packing), in the first layer, in pooling and depthwise convolutions of floats; what"
        " onnxruntime does, most of it in the float 1×1 convolutions and dense layers that"
        " its MLAS computes; and the rest, mostly Python.",
        "",
        *summary(networks[LCE_BOARD]),
        "",
        "### Instructions",
        "",
        "Executed, in millions; and what data is fetched from memory, in 10⁶ bytes.",
        "",
        *table(
            ["board", "network", *HEADS.values(), "all", "from memory"],
            [
                [board.name, name, *counts(networks[board.name][name])]
                for board in BOARDS
                for name in NETWORKS
            ],
        ),
    ]
    for board in BOARDS:
        for ghz in board.ghz:
            lines += ["", f"### {board.name} at {ghz} GHz", "", "Milliseconds.", ""]
            lines += table(*times(board, ghz, networks[board.name]))
    lines += ["", *assumptions(networks), "", *sme2_page.section(figures, list(CORES))]
    return "\n".join(lines) + "\n"


def table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Lines of Markdown; numbers stand right."""
    marks = ["---:" if rows[0][i][:1].isdigit() else "---" for i in range(len(heads))]
    for cells in (heads, marks, *rows):
        yield "| " + " | ".join(cells) + " |"


def summary(networks: dict[str, Any]) -> Iterator[str]:
    """What came of the comparison with LCE."""
    [board] = (board for board in BOARDS if board.name == LCE_BOARD)
    yield f"On a {LCE_BOARD} at {LCE_GHZ} GHz, between computing alone and a sum in which nothing"
    yield "overlaps:"
    yield ""
    for name, published in LCE.items():
        least = compute_cycles(networks[name]) / LCE_GHZ / 1e6
        most = ms(networks[name], board, LCE_GHZ)
        yield f"- {name}: {least:.1f} to {most:.1f} ms; LCE, as published, {published:.1f} ms."


def counts(network: dict[str, Any]) -> list[str]:
    """Millions of instructions of each part, and of all; of bytes from memory."""
    each = [
        network["parts"][part]["instructions"] if part in network["parts"] else 0 for part in PARTS
    ]
    counts = (*each, sum(each), network["lines"][-1] * LINE)
    return [f"{count / 1e6:.1f}" for count in counts]


def times(board: Board, ghz: float, networks: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table of a board: heads and rows."""
    compared = (board.name, ghz) == (LCE_BOARD, LCE_GHZ)
    heads = ["network", *HEADS.values(), "computing", "mispredictions", "transfers", "all"]
    rows = []
    for name in NETWORKS:
        network = networks[name]
        parts = network["parts"]
        cycles = [parts[part]["cycles"] if part in parts else 0 for part in PARTS]
        cycles += [compute_cycles(network), misprediction_cycles(network, board)]
        values = [count / ghz / 1e6 for count in cycles]
        values += [transfer_ms(network, board, ghz), ms(network, board, ghz)]
        row = [name, *(f"{value:.1f}" for value in values)]
        if compared:
            row += lce(name, values[-4], values[-1])
        rows.append(row)
    return [*heads, *(["LCE, published", "LCE ÷ ours"] if compared else [])], rows


def lce(name: str, least: float, most: float) -> list[str]:
    """LCE's published time, and how many times ours it is: for all, and for computing only."""
    if name not in LCE:
        return ["–", "–"]
    return [f"{LCE[name]:.1f}", f"{LCE[name] / most:.2f} to {LCE[name] / least:.2f}"]


def assumptions(networks: dict[str, dict[str, Any]]) -> list[str]:
    """The last section."""
    error = max(
        sum(part["error"] ** 2 for part in network["parts"].values()) ** 0.5
        / compute_cycles(network)
        for board in networks.values()
        for network in board.values()
    )
    boards = [board_line(board) for board in BOARDS]
    return [
        "## What is assumed",
        "",
        "- **Instructions.** qemu runs the network as the core in question, with the kernel set"
        " named below, and a plugin (`runtime/bench/arm/trace.c`) records every executed block"
        " of one inference, after two others. Other runs differ by some thousand instructions,"
        " since what Python and the allocator do depends on addresses.",
        "- **Computing.** Stretches of the recording at equal distances, each of some 4,000"
        " instructions as they were executed, go through llvm-mca as straight lines of code: no"
        " cache misses, every branch predicted, no time for the few atomic instructions that the"
        " model of Neoverse N1 lacks. The rest of a part is taken to need as many"
        f" cycles an instruction. The standard error from this is at most {100 * error:.1f} % of"
        " the sum. Filling and draining the pipeline counts for every stretch, which adds about"
        " 1 %.",
        "- **Float layers** (`pooling, depthwise` and `onnxruntime`) cost what LLVM's"
        " model says of the instructions that are executed for them, ours and onnxruntime's;"
        " there is no other source.",
        "- **Mispredictions** are counted by a model that knows the directions of the last 12"
        " branches and what came of them the last time, with room for all; the first time counts"
        " as predicted, since other inferences went before.",
        "- **Transfers** are lines of 64 bytes of data that the caches, simulated by"
        " `runtime/bench/arm/caches.c` (least recently used, no prefetching), fetch. `all` adds"
        " their time to that of computing, as if cores did not work while lines come; prefetching"
        " and executing out of order hide a part of it. The truth should lie between `computing`"
        " and `all`, if the models of the cores are right. Instruction caches, address"
        " translation and what is written back to memory are left out.",
        *boards,
        "- **LCE's times** are those of the table"
        " [in its repository](https://github.com/larq/compute-engine#performance), which its"
        " authors measured on a Raspberry Pi 4 Model B at 1.5 GHz with one thread. They are"
        " measured, ours are not.",
    ]


def board_line(board: Board) -> str:
    """What is assumed of a board."""
    sizes = " and ".join(f"{c.sets * c.ways * 64 // 1024:,} KB, {c.ways}-way" for c in board.caches)
    near = " and ".join(str(c.bytes_per_cycle) for c in board.caches[:-1])
    return (
        f"- **{board.name}**: kernel set `{board.isa}`; LLVM's model {board.model}; a"
        f" misprediction costs {board.misprediction} cycles; data caches of {sizes}; {near} bytes"
        f" a cycle between them; {board.memory} GB/s from memory."
        + {
            "Raspberry Pi 4": " The last is the least of the four figures of"
            " [STREAM on one core](https://www.sci-pi.org.uk/bench/stream.html); misprediction and"
            " bytes a cycle have no source.",
            "Raspberry Pi 5": " The last is the same figure times the ratio of the memories'"
            " transfer rates, 4,267 to 3,200; misprediction and bytes a cycle have no source.",
        }[board.name]
    )
