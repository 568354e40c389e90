"""What the verbs share: their parser, and how results and progress are shown.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_runtime.errors import InputError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# Text of a number, which a table aligns to the right.
_NUMBER = re.compile(r"-|[-+]?[\d,]+(\.\d+)?(e[-+]\d+)?( kB|%|×)?")


def new_parser(
    subparsers: Subparsers, verb: str, *, description: str, example: str
) -> argparse.ArgumentParser:
    """The parser of a verb, with `--json` and an example in its help."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        verb,
        help=description.partition(". ")[0],
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="write the result as JSON")
    add_loudness(parser)
    return parser


def add_loudness(parser: argparse.ArgumentParser) -> None:
    """`-q` and `-v`, which stand before a verb or behind it."""
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print only the result and errors",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help="log each step, and show where an error comes from",
    )


def at_least(minimum: int) -> Callable[[str], int]:
    """An argparse type: an integer of at least `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"{text!r} must be a whole number of at least {minimum}"
            )
        return value

    return parse


def whole_numbers(minimum: int) -> Callable[[str], tuple[int, ...]]:
    """An argparse type: distinct integers of at least `minimum`, such as 1,2,4."""

    def parse(text: str) -> tuple[int, ...]:
        return tuple(dict.fromkeys(at_least(minimum)(number) for number in text.split(",")))

    return parse


def positive_seconds(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")
    return value


def share(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def add_noise_options(parser: argparse.ArgumentParser) -> None:
    """`--samples` and `--seed` of models with noise; `sbn_runtime` checks their range."""
    parser.add_argument(
        "--samples",
        type=int,
        metavar="S",
        help="noise samples to average, for a model exported with `--activations stochastic`"
        " (default: as exported)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="SEED", help="seed of the noise (default: as exported)"
    )


def add_engine_option(
    parser: argparse.ArgumentParser,
    what: str = "what computes",
    default: str = "sbn where onnxruntime is installed, else native",
) -> None:
    """`--engine`, one of `sbn_runtime.engines.ENGINES`; None without it."""
    from sbn_runtime.engines import ENGINES

    texts = "; ".join(f"{row.name}: {row.text}" for row in ENGINES.values())
    parser.add_argument(
        "--engine", choices=tuple(ENGINES), help=f"{what}. {texts} (default: {default})"
    )


def writable(path: Path) -> Path:
    """`path`, if a file can be written there; checked before long work, not after it.

    Raises:
        InputError: the folder does not exist or is read-only, or `path` is a folder.
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: cannot write in this folder")
    return path


def printable(text: str) -> str:
    """The text without what would control a terminal: names in files may hold anything."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def say(text: str) -> None:
    """Tells a person what is going on."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stages(logger: str) -> Iterator[None]:
    """Shows on a terminal at which stage long work is, which tells it to this logger."""
    if not sys.stderr.isatty():
        yield
        return
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        yield
        return
    log = logging.getLogger(logger)
    level = log.level
    with Console(stderr=True).status("") as status:
        shown = _Shown(lambda text: status.update(f"{printable(text)} …"))
        log.addHandler(shown)
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.removeHandler(shown)
            log.setLevel(level)


class _Shown(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self.show = show

    def emit(self, record: logging.LogRecord) -> None:
        self.show(record.getMessage())


def show_json(value: Any) -> None:
    """Writes a result as JSON."""
    print(json.dumps(value, indent=2, default=_plain))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a result as a table: drawn in a terminal, where what is too wide for it is divided
    into several that begin with the same column; aligned text elsewhere."""
    cells = [[_text(cell) for cell in row] for row in rows]
    numeric = [all(_NUMBER.fullmatch(row[i]) for row in cells) for i in range(len(columns))]
    if sys.stdout.isatty():
        parts = _parts(columns, cells, shutil.get_terminal_size().columns)
        if all(
            _draw(
                [columns[i] for i in part],
                [[row[i] for i in part] for row in cells],
                [numeric[i] for i in part],
            )
            for part in parts
        ):
            return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in [list(columns), *cells]:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        print("  ".join(aligned).rstrip())


def _parts(columns: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> list[list[int]]:
    """The columns of each of the tables that fit into this many characters."""
    # A drawn cell has a blank on either side.
    widths = [2 + max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    parts, used = [[0]], widths[0] + 2
    for index in range(1, len(columns)):
        used += widths[index] + 1
        if used > room and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0] + widths[index] + 3
        parts[-1].append(index)
    return parts


def _draw(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> bool:
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ModuleNotFoundError:
        return False
    table = Table(box=box.SIMPLE_HEAD)
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left")
    for row in cells:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
    return True


def _text(cell: object) -> str:
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:.4g}"
        case tuple() | list() if any(isinstance(item, str) for item in cell):
            return ", ".join(map(str, cell))
        case tuple() | list():
            return "×".join(map(str, cell))
    return printable(str(cell))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
