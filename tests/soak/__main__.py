"""Feed damaged files to everything that reads files, for as long as one likes.

    python -m tests.soak                      all formats, where they stopped last time
    python -m tests.soak onnx npz --cases 50000
    python -m tests.soak onnx --seed 4711     one case again, with its traceback

Each reader must take a file or refuse it with an `SbnError` of one line: no other exception,
no signal, within 10 seconds, with at most 64 MiB and ten times the file of memory. The same
seed is the same file every time. What was tried is kept in build/soak, one file a format;
what failed there is tried again first.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import FORMATS, reader, verbs

STATE = Path(__file__).parents[2] / "build" / "soak"
STRETCH, STRETCH_OF_COMMANDS = 1000, 10
SLOWEST_S = 10.0
# Of commands that are disturbed and run again; the first one trains what they are given.
SLOWEST_VERB_S = 600.0
MEMORY_BYTES = 64 << 20
MEMORY_PER_BYTE = 10


@dataclass
class Tried:
    """What became of the cases of a format."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    slowest_s: float = 0.0
    seconds: float = 0.0


def main() -> int:
    """Runs cases; 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--cases", type=int, default=1000, help="of each format (default 1000)")
    parser.add_argument("--seed", type=int, help="this case only")
    options = parser.parse_args()
    formats = options.formats or list(FORMATS)
    if unknown := {*formats} - {*FORMATS}:
        parser.error(f"no such format: {', '.join(unknown)}")
    if options.seed is not None:
        for name in formats:
            with tempfile.TemporaryDirectory() as folder:
                print(name, reader(name)(options.seed, Path(folder)))
        return 0
    failed = False
    for name in formats:
        tried = soak(name, options.cases)
        failed |= bool(tried.failures)
    return int(failed)


def soak(name: str, cases: int) -> Tried:
    """Tries so many more cases of a format, and keeps what came of them."""
    path = STATE / f"{name}.json"
    tried = Tried()
    if path.exists():
        known = json.loads(path.read_text())
        tried = Tried(**(known | {"outcomes": Counter(known["outcomes"])}))
    STATE.mkdir(parents=True, exist_ok=True)
    reader(name)
    if name == "verbs":
        # Here, for the processes of all stretches are forked from this one.
        verbs.prepare()
    failed = [int(seed) for seed in tried.failures]
    tried.failures.clear()
    tried.outcomes["failed"] -= len(failed)
    tried.cases -= len(failed)
    first, end = tried.cases + len(failed), tried.cases + len(failed) + cases
    step = STRETCH_OF_COMMANDS if name == "verbs" else STRETCH
    for seeds in (failed, *(range(k, min(k + step, end)) for k in range(first, end, step))):
        begin = time.monotonic()
        _stretch(name, tried, list(seeds))
        tried.seconds += time.monotonic() - begin
        path.write_text(json.dumps(vars(tried), indent=1))
        if sys.stderr.isatty() or tried.cases == end:
            print(f"\r{name}: {_summary(tried)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for seed, why in tried.failures.items():
        print(f"  seed {seed}: {why.splitlines()[-1]}", file=sys.stderr)
    return tried


def _summary(tried: Tried) -> str:
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(tried.outcomes.items()))
    each = 1000 * tried.seconds / max(tried.cases, 1)
    return (
        f"{tried.cases:,} cases ({counts}), {len(tried.failures)} failed;"
        f" {each:.1f} ms each, {tried.slowest_s:.1f} s the slowest"
    )


def _stretch(name: str, tried: Tried, seeds: list[int]) -> None:
    """Tries cases in a process of their own, which tells of each as it is done.

    What ends the process counts for the case it ended in; the next ones get a new process.
    """
    while seeds:
        seeds = seeds[_until_one_ends_it(name, tried, seeds) :]


def _until_one_ends_it(name: str, tried: Tried, seeds: list[int]) -> int:
    """How many of the cases were tried."""
    done = 0
    patience = SLOWEST_VERB_S if name == "verbs" else SLOWEST_S
    receive, send = os.pipe()
    process = os.fork()
    if not process:
        os.close(receive)
        _work(name, seeds, send)
    os.close(send)
    with os.fdopen(receive, "rb", buffering=0) as lines:
        late = False
        while done < len(seeds):
            if not select.select([lines], [], [], patience)[0]:
                late = True
                os.kill(process, signal.SIGKILL)
                break
            line = lines.readline()
            if not line:
                break
            outcome, seconds, failure = json.loads(line)
            tried.outcomes[outcome] += 1
            tried.slowest_s = max(tried.slowest_s, seconds)
            if failure:
                tried.failures[str(seeds[done])] = failure
            done += 1
    _, status = os.waitpid(process, 0)
    if done < len(seeds):
        why = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
        why = f"not done in {patience:.0f} s" if late else why
        tried.failures[str(seeds[done])] = why
        tried.outcomes["failed"] += 1
        done += 1
    tried.cases += done
    return done


def _work(name: str, seeds: list[int], send: int) -> None:
    """The child: never returns."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        check = reader(name)
        with tempfile.TemporaryDirectory() as folder:
            for seed in seeds:
                place = Path(folder) / "case"
                place.mkdir()
                os.write(send, (json.dumps(_case(check, seed, place)) + "\n").encode())
                shutil.rmtree(place)
    finally:
        os._exit(0)


def _case(check: Callable[[int, Path], str], seed: int, folder: Path) -> tuple[str, float, str]:
    """Outcome, seconds, and what went wrong."""
    before = _reset_memory()
    begin = time.perf_counter()
    try:
        outcome, failure = check(seed, folder), ""
    except BaseException:
        outcome, failure = "failed", traceback.format_exc()[-2000:]
    seconds = time.perf_counter() - begin
    used = _memory("VmHWM") - before
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if not failure and used > MEMORY_BYTES + MEMORY_PER_BYTE * size:
        outcome, failure = "failed", f"{used:,} bytes of memory for {size:,} bytes of files"
    return outcome, seconds, failure


def _reset_memory() -> int:
    """Begins to watch the largest use of memory; the use now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    sys.exit(main())
