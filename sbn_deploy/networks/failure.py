"""Errors raised by user code, in one line."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from sbn_runtime.errors import ConfigError

LONGEST = 200
# Python's own code, installed packages, and this one.
NOT_THE_USERS = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
    Path(__file__).parents[1],
)


def user_error(where: str, error: BaseException) -> ConfigError:
    """A ConfigError that says what `where` raised, and on which line of the user's files.

    Raise it `from error`, so that the traceback can still be shown.
    """
    kind = type(error).__name__
    text = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, SyntaxError):
        # Its text would name the file a second time.
        text = error.msg
    if isinstance(error, SystemExit):
        kind, text = "a call of sys.exit", "put script code under if __name__ == '__main__'"
    if len(text) > LONGEST:
        text = text[:LONGEST] + " …"
    return ConfigError(f"{where} raised {kind}{': ' if text else ''}{text}{_place(error)}")


def _place(error: BaseException) -> str:
    """` (FILE, line N)` of the innermost line of the user's, or of all; nothing without a line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if frame.filename[0] != "<"
        and not any(Path(frame.filename).is_relative_to(folder) for folder in NOT_THE_USERS)
    ]
    last = (own or frames)[-1:]
    return "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in last)
