"""Engines measured in several sessions, each in fresh processes.

Each start of a program gets another memory layout, and is faster or slower for its whole life;
rounds within one process do not show that. So each
engine is started several times. In a session all of them wait in processes of their own, and take
turns. Waiting engines are held, because their threads spin after a call, some
forever, on the cores that the next one needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from random import Random
from time import perf_counter
from typing import IO, Any, Protocol

from sbn_deploy.benchmark.bootstrap import FEWEST, Sessions, median_interval
from sbn_deploy.benchmark.rounds import BLOCK, Runner, Taken, Turn, take_turns
from sbn_deploy.benchmark.worker import Job, Spec, Started
from sbn_deploy.machine.background_load import BackgroundLoad
from sbn_deploy.machine.cores import cores_for, pinned
from sbn_deploy.machine.energy import Meter
from sbn_deploy.system import host
from sbn_runtime import ModelError, errors

SESSIONS = 10
# Unless the number of calls is given: calls of each engine in a session; when to stop, which is
# half the prediction interval of the median as a share of it; and the most sessions for that.
SESSION_RUNS = 100
PRECISION = 0.05
MOST_SESSIONS = 50
# An on-demand governor has raised the frequency by then.
BUSY_S = 0.5
# Of a session's time: what warming up may take, and the least rounds it should have.
WARMUP_SHARE = 0.1
FEWEST_ROUNDS = 3


class Process(Runner, Protocol):
    """An engine in a separate process, which runs only during requests."""

    def wait_until_ready(self) -> None:
        """Returns when its libraries are loaded."""

    def start(self, job: Job) -> Started:
        """Loads the model of `job`, as `worker.start` does, and raises what that raises."""


@dataclass
class Measured:
    """What was measured of one engine: its start and its turns in each session."""

    started: list[Started] = field(default_factory=list)
    sessions: list[Taken] = field(default_factory=list)

    @property
    def times(self) -> Sessions:
        """Of each call, in milliseconds, by session and round."""
        return [session.rounds for session in self.sessions]


@dataclass(frozen=True)
class Worker:
    """A process of `worker`. What its engine raises, `start` and `turn` raise.

    They raise ModelError when the process ends by itself.
    """

    spec: Spec
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def wait_until_ready(self) -> None:
        self._read()

    def start(self, job: Job) -> Started:
        return Started(**self._ask(job.to_json()))

    def turn(self, calls: int) -> Turn:
        return Turn(**self._ask(json.dumps(calls)))

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        host.release(self.process)
        with suppress(OSError):  # what it said before it ended is read below
            os.write(self.process.stdin.fileno(), f"{line}\n".encode())
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ModelError(
                f"{self.spec.engine} ended while it ran {self.spec.model}: "
                f"{' '.join(said) or f'status {status}'}"
            )
        host.hold(self.process)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            if answer["type"] == MemoryError.__name__:
                raise MemoryError(answer["error"])
            raise getattr(errors, answer["type"])(answer["error"])
        return answer


@contextmanager
def worker(spec: Spec, module: str = "sbn_deploy.benchmark.worker") -> Iterator[Worker]:
    """A process that loads what `spec` needs; it ends with the context.

    `module` is what runs in it, and serves as `worker.serve` does.
    """
    command = [sys.executable, "-m", module, spec.engine]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as errors,
        host.start_bound(command, stdin=pipe, stdout=pipe, stderr=errors) as process,
    ):
        try:
            yield Worker(spec, process, errors)
        finally:
            process.kill()


def measure_sessions(
    specs: Sequence[Spec],
    *,
    threads: int,
    batch: int,
    runs: int | None,
    warmup: int,
    seconds: float,
    meter: Meter | None = None,
    background: BackgroundLoad | None = None,
    watch: Callable[[], None] = lambda: None,
    progress: Callable[[float], None] = lambda share: None,
    process: Callable[[Spec], AbstractContextManager[Process]] = worker,
    clock: Callable[[], float] = perf_counter,
) -> list[Measured]:
    """Measures engines in turns, in several sessions.

    Args:
        specs: the engines.
        threads, batch: of all of them.
        runs: timed calls of each engine in all sessions together, in SESSIONS of them or fewer;
            None for SESSIONS and more, until the medians of all engines are known to PRECISION.
        warmup: untimed calls in each session before the first turn; fewer where they would
            take more than WARMUP_SHARE of its time.
        seconds: when nothing more is begun. One round is always measured.
        meter: what counts energy.
        background: counts, during the turns, what else the cores do.
        watch: is called when the first engine has kept the cores busy for BUSY_S.
        progress: is called with the share done, 0 to 1. process: starts an engine.
        clock: seconds that pass.

    Returns:
        What was measured, in the order of `specs`.

    Raises what the engines raise, and ModelError where one ends by itself.
    """
    begin = clock()
    end = begin + seconds
    random = Random(0)
    cores = cores_for(threads)
    planned = MOST_SESSIONS if runs is None else min(runs, sessions_for(runs))
    measured = [Measured() for _ in specs]
    done, cost = 0, 0.0
    for index in range(planned):
        left = planned - index
        start = clock()
        if index and start + cost >= end:
            break
        if runs is None and index >= SESSIONS and all(map(is_precise, measured)):
            break
        share = min((end - start) / left if runs is not None else seconds / SESSIONS, end - start)
        with ExitStack() as stack:
            engines = [stack.enter_context(process(spec)) for spec in specs]
            for engine in engines:
                engine.wait_until_ready()
            call_s = 0.0
            for engine, spec, entry in zip(engines, specs, measured, strict=True):
                first = index == 0 and entry is measured[0]
                job = Job(
                    spec,
                    threads,
                    batch,
                    warmup,
                    warmup_s=WARMUP_SHARE * share / len(specs),
                    busy_s=min(BUSY_S, share) if first else 0,
                    cores=cores,
                )
                started = engine.start(job)
                if first:
                    watch()
                entry.started.append(started)
                call_s += started.call_ms / 1e3
            startup = clock() - start
            # Do not spend more time on starting than on measuring, unless too few sessions would
            # fit.
            enough = start + (end - start) / max(1, min(FEWEST, planned) - index)
            until = min(enough, max(start + share, clock() + startup))
            block = _block(until - clock(), call_s)
            wanted = SESSION_RUNS
            if runs is not None:
                wanted = ceil((runs - done) / left)
                if wanted > BLOCK:
                    wanted = min(runs - done, BLOCK * ceil(wanted / BLOCK))
            before = background.look() if background else None
            with pinned(threads):
                taken = take_turns(
                    engines,
                    runs=wanted,
                    random=random,
                    block=block,
                    until=until,
                    clock=clock,
                    meter=meter,
                )
            if background:
                background.count(before, sum(entry.cpu_s for entry in taken))
        for entry, session in zip(measured, taken, strict=True):
            entry.sessions.append(session)
        done += sum(map(len, taken[0].rounds))
        # The next session needs as long to start, and for one round.
        cost = startup + (block + 1) * call_s
        share_done = (index + 1) / SESSIONS if runs is None else done / runs
        time_done = (clock() - begin) / seconds if seconds else 1.0
        progress(min(0.99, max(share_done, time_done)))
    progress(1.0)
    return measured


def sessions_for(runs: int) -> int:
    """In how many sessions that many calls are made: enough for an interval."""
    return max(FEWEST, min(SESSIONS, ceil(runs / BLOCK)))


def is_precise(measured: Measured) -> bool:
    """Whether its median is known to PRECISION."""
    interval = median_interval(measured.times, 1.0)
    return interval is not None and interval[1] <= 1 + PRECISION


def _block(seconds: float, call_s: float) -> int:
    """Calls in a turn, so that FEWEST_ROUNDS fit where a call of each engine takes `call_s`."""
    if call_s <= 0:
        return BLOCK
    # Each turn has an untimed call too.
    return max(1, min(BLOCK, int(seconds / FEWEST_ROUNDS / call_s) - 1))
