"""From what was executed to cycles: by a model of the core, and by simple ones of the rest."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import mca
from .trace import Trace

# What llvm-mca sees at once: long enough that filling and draining the pipeline, some
# dozens of cycles, hardly counts.
WINDOW = 4000
# Windows of a whole trace, spread over its parts by their instructions; and the fewest of one.
WINDOWS, FEWEST = 240, 24
HISTORY = 12  # branches that a prediction looks back


@dataclass(frozen=True)
class Cycles:
    """An estimate, and its standard error from looking at windows only."""

    cycles: float
    error: float


def of_part(trace: Trace, order: NDArray[np.int64], model: str) -> Cycles:
    """Cycles of these blocks one after the other, without mispredictions and cache misses.

    Windows at equal distances go through llvm-mca as they were executed; all instructions are
    taken to need what those of the windows did.

    Args:
        order: int64 [executed], what of the trace; not empty.
        model: LLVM's name of the core.
    """
    sizes = trace.sizes[order]
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    wanted = max(FEWEST, round(WINDOWS * total / trace.instructions))
    count = min(wanted, max(1, total // WINDOW))
    starts = (np.arange(count) * (total / count)).astype(np.int64)
    codes = []
    for start in starts:
        blocks = slice(*np.searchsorted(ends, (start, start + WINDOW), side="right"))
        codes.append([line for block in order[blocks] for line in trace.assembler[block]])
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        cycles = np.array(list(pool.map(lambda code: mca.cycles(model, code), codes)))
    lengths = np.array([len(code) for code in codes])
    each = cycles.sum() / lengths.sum()
    spread = float(np.std(cycles / lengths)) / count**0.5
    return Cycles(total * float(each), total * spread)


def mispredictions(trace: Trace) -> int:
    """Conditional branches that went otherwise than the last time after the same history.

    The history are the directions of the last conditional branches. The first time, a branch
    is taken to be predicted, since other inferences went before.
    """
    last = np.array([words[-1] for words in trace.code], np.uint32)
    conditional = (last & 0xFF000010) == 0x54000000  # b.cond
    conditional |= (last & 0x7C000000) == 0x34000000  # cbz, cbnz, tbz, tbnz
    here = trace.order[:-1]
    follows = trace.addresses[trace.order[1:]]
    branches = conditional[here]
    taken = (follows != trace.addresses[here] + 4 * trace.sizes[here])[branches].astype(np.int64)
    history = np.zeros_like(taken)
    for back in range(1, HISTORY + 1):
        history[back:] |= taken[:-back] << (back - 1)
    # By branch and history, and within the same of both by time.
    context = here[branches] << HISTORY | history
    by_context = np.argsort(context, kind="stable")
    same = np.diff(context[by_context]) == 0
    return int((same & (np.diff(taken[by_context]) != 0)).sum())
