"""Errors that sbn-deploy raises on bad input.

Every message says what is wrong, where, and how to fix it. The command line
prints the message on one line and exits with status 2.
"""

from __future__ import annotations


class SbnError(Exception):
    """Base class of every error that sbn-deploy raises on purpose.

    Its message is one line, whatever the names in it hold.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class ModelError(SbnError):
    """A model file is missing, truncated, or not what it should be."""


class InputError(SbnError):
    """Data given to a model has the wrong shape, dtype or values."""


class IsaError(SbnError):
    """The requested kernel set does not exist, or this CPU lacks it."""


class ArtifactError(SbnError):
    """A checkpoint or artifact is broken or belongs to another architecture."""


class UnsupportedLayerError(SbnError):
    """A layer cannot be converted exactly."""


class ConfigError(SbnError):
    """A configuration value is unknown, out of range, or contradicts another."""


class OutputError(SbnError):
    """A file or folder cannot be written."""


class MissingDependencyError(SbnError):
    """An optional package is needed for the request."""


class RemoteError(SbnError):
    """A device or another process cannot be reached, lacks what is needed, or was lost."""


LONGEST = 300
"""Characters of a parser's message that are shown: some quote the whole file."""


def reason(failure: Exception) -> str:
    """What an exception says, on one line."""
    if isinstance(failure, RecursionError):
        return "it is nested too deeply"
    if isinstance(failure, MemoryError):
        return "it does not fit into memory"
    text = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"
