"""An engine whose threads look for work for ever: `python -m tests.benchmark.spinning ENGINE`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from threading import Thread
from time import sleep
from typing import TextIO

from sbn_deploy.benchmark.rounds import Turns
from sbn_deploy.benchmark.worker import Started, serve


def spin() -> None:
    while True:
        pass


def main(engine: str, requests: TextIO, answers: TextIO) -> None:
    """Serves as a worker does; a call takes a millisecond."""

    def answer(value: object) -> None:
        print(json.dumps(value), file=answers, flush=True)

    answer({})
    requests.readline()
    for _ in range(2):
        Thread(target=spin, daemon=True).start()
    answer(asdict(Started(1.0, 1, 1, 0.1, 1.0)))
    turns = Turns(lambda x: sleep(0.001), None)
    for line in requests:
        answer(asdict(turns.turn(json.loads(line))))


if __name__ == "__main__":
    serve(sys.argv[1], main)
