"""Exported files, called as users call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sbn_deploy.engines.engine import Feed
from sbn_runtime import Session, TensorInfo


@dataclass(frozen=True)
class SessionEngine:
    """A session, in whatever engine it has."""

    session: Session
    threads: int

    @property
    def name(self) -> str:
        return self.session.engine

    @property
    def inputs(self) -> Sequence[TensorInfo]:
        return self.session.inputs

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        return self.session.run(feed)


def session_engine(path: Path, *, threads: int, engine: str | None = None) -> SessionEngine:
    """An exported model; `engine` is that of `sbn_runtime.Session`, as is what is raised."""
    return SessionEngine(Session(path, engine=engine, threads=threads), threads)
