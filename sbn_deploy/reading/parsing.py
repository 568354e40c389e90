"""Turns whatever a parser raises into one of our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbn_deploy.system import host
from sbn_runtime.errors import SbnError, reason


@contextmanager
def parsing(
    error: type[SbnError], path: str | Path, problem: str, remedy: str = ""
) -> Iterator[None]:
    """Stands around the call of a parser, and nothing else: whatever it raises becomes `error`.

    Args:
        problem: what is wrong with the file if it is parsed in vain, as in "is not valid TOML".
        remedy: what to do about it.
    """
    try:
        yield
    except SbnError:
        raise
    except Exception as failure:
        # pyarrow and Rust raise plain OSError for damaged files, too.
        if isinstance(failure, OSError) and (failure.errno or type(failure) is not OSError):
            raise error(f"cannot read {path}: {reason(failure)}") from failure
        advice = f"; {remedy}" if remedy else ""
        raise error(f"{path} {problem}: {reason(failure)}{advice}") from failure


def check_memory(size: int) -> None:
    """Raises ValueError if this machine has not that many bytes of memory at all."""
    whole = host.memory_bytes()
    if size > whole:
        raise ValueError(f"it holds {size:,} bytes, and this machine has {whole:,} of memory")
