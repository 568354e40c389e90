"""The estimates of docs/arm-cycles.md: counting, modelling and adding up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.bench.arm import estimate, mca
from runtime.bench.arm.boards import BOARDS
from runtime.bench.arm.networks import BINARY, FIRST, ONNXRUNTIME, REST, ms, parts_by_place
from runtime.bench.arm.page import page
from runtime.bench.arm.trace import Place, Trace, record

from ..sampled import few
from .native import CROSS_COMPILER, HERE, ROOT, need, run

ADD_TO_ITSELF = 0x8B000000  # add x0, x0, x0
BRANCH_IF_EQUAL = 0x54000040  # b.eq, to the instruction after the next
LINES = 64


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(CROSS_COMPILER, "qemu-aarch64", "cc")
    path = tmp_path_factory.mktemp("counted") / "counted"
    options = ("-nostdlib", "-static", f"-DLINES={LINES}")
    run(CROSS_COMPILER, *options, HERE / "counted.S", "-o", path)
    return path


@pytest.mark.parametrize("core", few(["cortex-a76", "cortex-a72"], 1))
def test_every_instruction_is_counted_once(program: Path, tmp_path: Path, core: str) -> None:
    trace = record([program], tmp_path, core=core)
    call, enter, loop, leave = 1, 2, 3 * LINES, 1 + 2
    assert trace.instructions == call + enter + loop + leave
    assert {place.file for place in trace.places} == {program.name}
    section = run("aarch64-linux-gnu-objdump", "--disassemble", "--no-show-raw-insn", program)
    addresses = {int(line.split(":")[0], 16) for line in section.splitlines() if ":\t" in line}
    assert {place.offset for place in trace.places} <= {at & 0xFFFF for at in addresses}


def test_lines_that_stayed_are_not_fetched(program: Path, tmp_path: Path) -> None:
    half, whole = (LINES // 4, 2), (LINES // 2, 2)
    trace = record([program], tmp_path, core="cortex-a72", caches=[half, whole])
    assert trace.lines == (LINES, 0)


def executed(code: list[list[int]], order: list[int]) -> Trace:
    """A trace of blocks that lie one after the other."""
    sizes = [len(words) for words in code]
    addresses = 4 * (np.cumsum(sizes) - sizes)
    return Trace(
        np.array(order, np.int64),
        tuple(map(tuple, code)),
        addresses.astype(np.int64),
        tuple(Place("", int(address)) for address in addresses),
        (),
    )


@pytest.mark.parametrize("board", few(BOARDS, 1), ids=lambda board: board.core)
def test_a_chain_of_additions_takes_a_cycle_each(board: Any) -> None:
    if reason := mca.missing():
        pytest.skip(reason)
    trace = executed([[ADD_TO_ITSELF] * 100], [0] * 1000)
    found = estimate.of_part(trace, trace.order, board.model)
    assert found.cycles == pytest.approx(trace.instructions, rel=0.02)
    assert found.error < 0.01 * found.cycles


def branches(taken: list[bool]) -> Trace:
    """A branch over a block of one instruction, again and again."""
    order = []
    for way in taken:
        order += [0, 2] if way else [0, 1, 2]
    return executed([[BRANCH_IF_EQUAL], [ADD_TO_ITSELF], [ADD_TO_ITSELF]], order)


def test_what_repeats_is_predicted() -> None:
    assert estimate.mispredictions(branches([True, True, False] * 1000)) == 0


def test_what_is_random_is_not_predicted() -> None:
    taken = np.random.default_rng(0).integers(0, 2, 100_000).astype(bool).tolist()
    assert estimate.mispredictions(branches(taken)) == pytest.approx(50_000, rel=0.05)


def test_parts_follow_the_linker() -> None:
    objects = "CMakeFiles/sbn_operators.dir/src"
    part_of = parts_by_place(
        f" .text          0x0000000000000100       0x80 {objects}/kernels/conv/a.cc.o\n"
        f" .text._some    0x0000000000000180       0x40 {objects}/kernels/pixel_conv/b.cc.o\n"
        f" .text          0x0000000000000200       0x40 {objects}/ort/node.cc.o\n"
    )
    wanted = {0xFF: REST, 0x100: BINARY, 0x17C: BINARY, 0x180: FIRST, 0x1C0: REST, 0x200: REST}
    assert {at: part_of(Place("libsbn.so", at)) for at in wanted} == wanted
    assert part_of(Place("libonnxruntime.so.1", 0x100)) == ONNXRUNTIME
    assert part_of(Place("libc.so.6", 0x100)) == REST


def test_everything_is_added_up() -> None:
    board = BOARDS[0]

    def time(cycles: float, mispredictions: int, near: int, far: int, ghz: float = 1) -> float:
        part = {"instructions": 1, "cycles": cycles, "error": 0}
        network = {"parts": {BINARY: part, REST: part}, "mispredictions": mispredictions}
        return ms({**network, "lines": [near, far]}, board, ghz)

    assert time(1e6, 0, 0, 0) == pytest.approx(2)
    assert time(0, 1_000_000, 0, 0) == pytest.approx(board.misprediction)
    assert time(0, 0, 1_000_000, 0) == pytest.approx(64 / board.caches[0].bytes_per_cycle)
    assert time(0, 0, 0, 1_000_000) == pytest.approx(64 / board.memory)
    whole = time(1e6, 2000, 3000, 4000)
    assert whole == pytest.approx(
        time(1e6, 0, 0, 0) + time(0, 2000, 0, 0) + time(0, 0, 3000, 0) + time(0, 0, 0, 4000)
    )
    faster = time(1e6, 2000, 3000, 4000, ghz=2)
    assert 2 * faster == pytest.approx(whole + time(0, 0, 0, 4000))


def test_the_page_says_what_was_measured() -> None:
    figures = json.loads((ROOT / "docs" / "arm-cycles.json").read_text())
    assert (ROOT / "docs" / "arm-cycles.md").read_text() == page(figures)
