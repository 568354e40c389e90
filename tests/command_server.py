"""Forks a process for each command that a line of standard input asks for.

A request is JSON: `arguments` of `sbn`, the `folder` and `environment` to run in, and
the files `stdout` and `stderr`. The answer is a line with the exit status.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any

# Imported so that the commands need not do it; not by the processes that a command starts, which
# import this module again.
PRELOADED = (
    *("matplotlib.pyplot", "onnxruntime", "onnxscript", "safetensors.torch", "sklearn.datasets"),
    *("torch.onnx", "sbn_deploy.export", "sbn_deploy.train", "sbn_deploy.validate"),
)


def warm() -> None:
    """Makes now what every forked process would make again: what torch does at a first export."""
    from sbn_deploy.cli import VERBS, command
    from sbn_deploy.tracing.trace import trace

    for name in PRELOADED:
        import_module(name)
    for verb in VERBS:
        command(verb)
    torch = import_module("torch")
    trace(torch.nn.Linear(1, 1), torch.zeros(1, 1))
    gc.collect()
    gc.freeze()


def _wait_for_request() -> dict[str, Any] | None:
    """In a process of its own, what to run; None once nobody asks any more."""
    warm()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return dict(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _become(request: dict[str, Any]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    stdout = os.open(request["stdout"], os.O_WRONLY | os.O_APPEND)
    stderr = os.open(request["stderr"], os.O_WRONLY | os.O_APPEND)
    for given, standard in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(given, standard)
        os.close(given)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]


def _status() -> int:
    from sbn_deploy.cli import main

    try:
        return main()
    except SystemExit as stopped:  # argparse leaves by itself
        return int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1


def _leave(status: int) -> None:
    """Ends the process without taking the imported modules apart, which takes seconds."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__" and (request := _wait_for_request()) is not None:
    _become(request)
    _leave(_status())
