"""Sessions under load: opened and closed, shared by threads, in forked processes, at the exit.

Whatever happens, the answers stay what they were when the files were exported, bit for bit.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_runtime import Session

GOLDEN = Path(__file__).parents[1] / "golden"
# Ends while other threads compute.
PROGRAM = """\
import sys, threading, time
import numpy as np
from sbn_runtime import Session
session = Session(sys.argv[1], threads=1)
x = np.load(sys.argv[2])["input"]
def work():
    while True:
        session.run(x)
for _ in range(int(sys.argv[3])):
    threading.Thread(target=work, daemon=True).start()
time.sleep(float(sys.argv[4]))
"""


def check(seed: int, folder: Path) -> str:
    """One load."""
    rng = random.Random(seed)
    rng.choice(WAYS)(rng, rng.choice(files()))
    return "accepted"


def open_and_close(rng: random.Random, path: Path) -> None:
    """Sessions come and go, some while others still live."""
    kept: list[Session] = []
    for _ in range(rng.randrange(2, 12)):
        kept.append(Session(path, threads=rng.choice((1, 2))))
        _right(rng.choice(kept), path)
        if rng.random() < 0.7:
            kept.pop(rng.randrange(len(kept)))


def threads(rng: random.Random, path: Path) -> None:
    """Several threads call one session."""
    session = Session(path, threads=rng.choice((1, 2)))
    calls, wrong = rng.randrange(1, 20), []

    def work() -> None:
        try:
            for _ in range(calls):
                _right(session, path)
        except BaseException as error:
            wrong.append(error)

    workers = [threading.Thread(target=work) for _ in range(rng.randrange(2, 9))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong, wrong


def forks(rng: random.Random, path: Path) -> None:
    """Children use the parent's session, which computes in the calling thread, and their own."""
    session = Session(path, threads=1)
    _right(session, path)
    children = []
    for _ in range(rng.randrange(1, 4)):
        child = os.fork()
        if not child:
            status = 1
            try:
                _right(session, path)
                _right(Session(path, threads=rng.choice((1, 2))), path)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    _right(session, path)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def ends(rng: random.Random, path: Path) -> None:
    """A program ends in the middle of calls."""
    words = (str(path), str(path.with_suffix(".npz")), str(rng.randrange(1, 5)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, str(rng.random() / 20)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done


WAYS = (open_and_close, open_and_close, threads, threads, forks, ends)


@cache
def files() -> tuple[Path, ...]:
    """Small files of every kind of operator."""
    return tuple(path for path in sorted(GOLDEN.glob("*.onnx")) if path.stat().st_size < 1 << 18)


@cache
def _answers(path: Path) -> dict[str, NDArray[np.generic]]:
    return dict(np.load(path.with_suffix(".npz")))


def _right(session: Session, path: Path) -> None:
    expected = _answers(path)
    for name, answer in session.run(expected["input"]).items():
        if name == "probabilities":  # of onnxruntime's Softmax
            np.testing.assert_allclose(answer, expected[name], 0, 1e-6)
        else:
            np.testing.assert_array_equal(answer, expected[name], err_msg=name)
