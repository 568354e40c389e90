"""Has units of pictures classified, part by part, and joins the parts.

The parts lie in a folder beside the output. The name of each says what it answers: its number,
and a digest of the model, the settings and the state of the files. What is there is complete, so a
run that was killed goes on with the parts that are not there.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from sbn_deploy.many import part
from sbn_deploy.many.sources import Unit
from sbn_deploy.system import host
from sbn_runtime import BatchClassifier
from sbn_runtime.errors import ConfigError, InputError
from sbn_runtime.files import check_writable, write_atomically, written_atomically

Finished = Generator[tuple[Path, bytes | ConfigError]]
Workers = Callable[[Iterable[tuple[Path, Unit]]], Finished]
"""Who classifies: takes units, each with the path of its part, no faster than it works, and gives
the content of the parts as they are finished, or what is wrong with the file of a unit. It ends all
that it started when it is closed."""
LOCK = "lock"
PART = ".arrow"
"""The suffix of parts."""
ROW_GROUP = 65_536
"""Rows of the output that are in memory at once."""


@dataclass(frozen=True)
class Outcome:
    """What the output holds: rows, and how many of them have an error in place of an answer."""

    pictures: int
    unreadable: int


class Parts:
    """The folder of the parts of an output, held by one process at a time.

    Args:
        output: the file that they become.
        settings: what the answers depend on beside the pictures, JSON-able.

    Raises:
        InputError: another process holds it.
        OutputError: it cannot be written.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder_of(output)
        self._settings = dict(settings)
        check_writable(self.folder)
        self._lock: IO[bytes] = (self.folder / LOCK).open("a+b")
        try:
            host.lock(self._lock)
        except BlockingIOError:
            self._lock.close()
            raise InputError(
                f"{self.folder} is being written by another run; wait for it, or choose another -o"
            ) from None
        # Of runs that were killed while they wrote.
        for unfinished in (
            *self.folder.glob(f".*{PART}.*"),
            *output.parent.glob(f".{glob.escape(output.name)}.*"),
        ):
            unfinished.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | object) -> None:
        self._lock.close()

    def path(self, number: int, unit: Unit) -> Path:
        """Where the answers to a unit are, or will be."""
        text = json.dumps({**self._settings, "unit": unit.state()}, sort_keys=True)
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
        return self.folder / f"{number:08}-{digest[:32]}{PART}"

    def discard(self) -> None:
        """Deletes the folder with all parts."""
        self._lock.close()
        for file in (*self.folder.glob(f"*-*{PART}"), self.folder / LOCK):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            self.folder.rmdir()


def folder_of(output: Path) -> Path:
    """The folder of the parts of an output."""
    return output.with_name(f"{output.name}.parts")


def run(
    classifier: BatchClassifier,
    units: Iterable[Unit],
    output: Path,
    *,
    settings: Mapping[str, Any],
    workers: Workers,
    report: Callable[[str], None],
) -> Outcome:
    """Writes the answers to all units, in their order, to a parquet file.

    The file is the same whatever the workers are and however often the run was interrupted. What
    is finished stays when it fails.

    Args:
        settings: what the answers depend on beside the pictures, JSON-able.
        report: called for each finished unit.

    Raises:
        ConfigError: a file turned out to be damaged; all others are classified by then.
        OutputError: something cannot be written.
        InputError: another run writes to this output.
        SbnError: what the workers raise.
    """
    with Parts(output, settings) as parts:
        paths = _classify(units, parts, workers, report)
        outcome = _join(paths, output, classifier)
        parts.discard()
    return outcome


def _classify(
    units: Iterable[Unit], parts: Parts, workers: Workers, report: Callable[[str], None]
) -> list[Path]:
    paths: list[Path] = []
    failures: list[ConfigError] = []

    def missing() -> Iterator[tuple[Path, Unit]]:
        for number, unit in enumerate(units):
            paths.append(parts.path(number, unit))
            if paths[-1].exists():
                report("")
            else:
                yield paths[-1], unit

    with closing(workers(missing())) as finished:
        for path, answers in finished:
            if isinstance(answers, ConfigError):
                failures.append(answers)
            else:
                write_atomically(path, answers)
                report("")
    if failures:
        more = f"; and {len(failures) - 1:,} more parts" if len(failures) > 1 else ""
        raise ConfigError(
            f"{failures[0]}{more}; the others are done: run the same command again after that"
        )
    return paths


def _join(paths: Iterable[Path], output: Path, classifier: BatchClassifier) -> Outcome:
    """Writes all parts as one file, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = part.schema_of(classifier)
    pictures = unreadable = 0
    with (
        written_atomically(output) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        waiting: list[Any] = []
        for path in paths:
            table = part.read(path)
            waiting.append(table)
            pictures += len(table)
            unreadable += len(table) - table["error"].null_count
            if sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting), ROW_GROUP)
                waiting.clear()
        if waiting:
            writer.write_table(pa.concat_tables(waiting), ROW_GROUP)
    return Outcome(pictures, unreadable)
