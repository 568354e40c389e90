"""Units of pictures, classified as tasks on a Ray cluster. Nothing else here imports Ray."""

from __future__ import annotations

import os
import pickle
import platform
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from sbn_deploy.many import part
from sbn_deploy.many.run import Finished
from sbn_deploy.many.sources import Unit, facts
from sbn_runtime import BatchClassifier, __version__
from sbn_runtime.errors import ConfigError, InputError, SbnError

ANY = "auto"
"""In place of an address: the cluster of RAY_ADDRESS, or else the one that this machine is in."""
RETRIES = 5
"""Of a task whose node or process is lost."""
KNOCK_S, CONNECT_S = 5, 60
CONNECT = """
import sys, ray
try:
    ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
except BaseException as error:
    sys.exit("error: " + " ".join(str(error).split()))
"""


class Cluster:
    """A connection to a Ray cluster, as a context manager; called, it is `run.Workers`.

    Args:
        address: HOST:PORT of the cluster's head, or `ANY`.
        classifier: its model is where all nodes find it.

    Raises:
        InputError: no cluster answers there, or one of another version of Ray or Python.
        ModuleNotFoundError: Ray is not installed.
    """

    def __init__(self, address: str, classifier: BatchClassifier) -> None:
        import ray

        if address != ANY:
            _knock(address)
        _try(address)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, logging_level="ERROR", log_to_driver=False)
        self._ray: Any = ray
        self._threads = classifier.threads
        self._sender = ray.put(_Sender.of(classifier))
        self._task = ray.remote(num_cpus=self._threads, max_retries=RETRIES)(_answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | object) -> None:
        self._ray.shutdown()

    @property
    def cores(self) -> int:
        """Those of the nodes that are there now."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def __call__(self, units: Iterable[tuple[Path, Unit]]) -> Finished:
        """Classifies units, see `run.Workers`.

        Raises InputError where a node does not find what is here, and SbnError where tasks fail.
        """
        running: dict[Any, Path] = {}

        def finished(at_most: int) -> Finished:
            while len(running) > at_most:
                (ready, *_), _ = self._ray.wait([*running])
                path, found = running.pop(ready), self._result(ready)
                if isinstance(found, SbnError) and not isinstance(found, ConfigError):
                    raise found
                yield path, found

        for path, unit in units:
            running[self._task.remote(self._sender, unit, unit.state())] = path
            # One more for each core waits. Nodes may come and go.
            yield from finished(max(1, 2 * self.cores // self._threads) - 1)
        yield from finished(0)

    def _result(self, ready: Any) -> Any:
        try:
            return self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise SbnError(
                f"a task failed on the Ray cluster: {reason}; run the same command to resume"
            ) from error


@dataclass(frozen=True)
class _Sender:
    """What tasks need of the command.

    Attributes:
        version: of this package.
        folder: that paths begin in.
        classifier: pickled.
        model, state: its file, and `facts` of that.
    """

    version: str
    folder: str
    classifier: bytes
    model: str
    state: Any

    @classmethod
    def of(cls, classifier: BatchClassifier) -> Self:
        model = str(classifier.path)
        return cls(__version__, os.getcwd(), pickle.dumps(classifier), model, facts(model))


def _answers(sender: _Sender, unit: Unit, state: dict[str, Any]) -> bytes | SbnError:
    """On some node: the answers, or what is wrong; what is raised, Ray would wrap."""
    node = platform.node()
    try:
        if __version__ != sender.version:
            raise InputError(
                f"node {node} has version {__version__} of sbn-deploy, this is {sender.version}"
            )
        try:
            os.chdir(sender.folder)
        except OSError as error:
            raise _missing(sender.folder, node) from error
        if facts(sender.model) != sender.state:
            raise _missing(sender.model, node)
        if unit.state() != state:
            raise _missing(unit.title, node)
        return part.answers(pickle.loads(sender.classifier), unit)
    except SbnError as error:
        return error


def _missing(path: str, node: str) -> InputError:
    return InputError(
        f"{path}: node {node} does not find it, or another one (in size or time of change); keep"
        " model, pictures and the folder of the command where all nodes see them at the same path"
    )


def _knock(address: str) -> None:
    """Raises InputError where nothing listens: Ray itself waits for minutes."""
    try:
        place = urlsplit(f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port or "/" in address:
        raise InputError(f"--ray {address}: is not an address; give HOST:PORT, or nothing")
    try:
        socket.create_connection((host, port), KNOCK_S).close()
    except OSError as error:
        raise InputError(
            f"--ray {address}: no Ray cluster answers: {error.strerror or error}"
        ) from error


def _try(address: str) -> None:
    """Connects in a process that can be ended. Raises InputError where that is not possible."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", CONNECT, address],
            capture_output=True,
            text=True,
            timeout=CONNECT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"--ray {address}: no Ray cluster answers within {CONNECT_S} seconds"
        ) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        reason = said[-1].removeprefix("error: ") if said else f"status {done.returncode}"
        raise InputError(f"--ray {address}: {reason}")
