"""A model file in an engine: loading it, and computing batches of any size."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import engines, sampling
from .engines import NATIVE, Failure
from .errors import ModelError
from .feeds import Feeds, TensorInfo
from .members import Members
from .modelfile import DOMAIN, check_constants, imported_domains
from .sampling import Draw
from .tasks import MEMBER

# About a level-2 cache: activations beyond it make a large batch slower than its images.
_CACHE_BYTES = 1 << 20
# Samples of an image share what precedes the first noise: up to this many are batched, even beyond
# the cache.
_SAMPLES_TOGETHER = 32


class Executor:
    """Computes a model's outputs for checked input.

    Args:
        path: the file, or what to call the model in messages.
        engine, threads, spin: as of `Session`.
        content: of the file, where it is not to be read.

    Attributes:
        engine: the name of the one that computes.
        inputs, outputs, metadata: as of `Session`.
        content: the file's bytes where it was not read from a path, else None.
        defaults: what a model with noise draws unless told otherwise, else None.

    Raises ModelError where the file cannot be used, and what `Session` raises.
    """

    def __init__(
        self,
        path: Path,
        engine: str | None = None,
        threads: int | None = None,
        *,
        content: bytes | None = None,
        spin: bool = True,
    ) -> None:
        self._path, self.content = path, content
        self._members: Members | None = None
        row = engines.find(engine)
        self.engine = row.name
        if DOMAIN not in imported_domains(path, content):
            raise ModelError(f"{path}: has no sbn operators; write the file with `sbn export`")
        if row.name != NATIVE:  # which looks at the bytes first
            check_constants(path, content)
        # Threads of one model would wait busily for work while another one computes.
        self._load_members = partial(row.load, threads=threads, spin=False)
        try:
            self._loaded = row.load(
                path if content is None else content, threads=threads, spin=spin
            )
        except Failure as error:
            raise ModelError(f"{path}: cannot be loaded: {error}") from error
        self.inputs, self.outputs = self._loaded.inputs, self._loaded.outputs
        self.metadata = _metadata(path, self._loaded.metadata)
        _check_tensors(path, self.inputs, self.outputs)
        self.output_names = [output.name for output in self.outputs]
        self.defaults = self._noise()
        self._piece = self._pieces()

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """All outputs of a model without noise. Raises ModelError."""
        pieces = [self._compute(self.output_names, piece) for piece in _split(feeds, self._piece)]
        return self._joined(self.output_names, pieces)

    def sample(
        self, feeds: Feeds, draw: Draw, rows: list[str], others: list[str]
    ) -> dict[str, NDArray[Any]]:
        """Outputs of a model with noise. Raises ModelError.

        Computed in pieces of images and, where one image has many, of samples.

        Args:
            rows: outputs with a row for each member and sample; they become
                [M, S, N, ...].
            others: outputs that do not depend on the noise.
        """
        groups = list(draw.groups(max(self._piece, _SAMPLES_TOGETHER)))
        found = []
        for piece in _split(feeds, max(1, self._piece // draw.samples)):
            parts = [self._rows(piece, group, rows) for group in groups]
            found.append([self._concatenated(part, 1) for part in zip(*parts, strict=True)])
        drawn = [self._concatenated(part, 2) for part in zip(*found, strict=True)]
        fixed = {}
        if others:
            pieces = [self._compute(others, piece) for piece in _split(feeds, self._piece)]
            fixed = self._joined(others, pieces)
        return dict(zip(rows, drawn, strict=True)) | fixed

    def redirect(self, to: Callable[[engines.Engine], engines.Engine]) -> None:
        """Lets another engine compute from now on: what `to` makes of this one's."""
        self._loaded = to(self._loaded)

    def members(self, output: str) -> Members:
        """The members of a model without noise, whose answers `output` [M, N, K] joins.

        Raises InputError where the file does not keep them apart, and ModelError.
        """
        if self._members is None:
            self._members = Members(self._path, output, self._load_members, self.content)
        return self._members

    def load_members(self) -> None:
        """Loads the members that were taken apart, if they were. Raises ModelError."""
        if self._members is not None:
            self._members.load()

    def sample_members(self, feeds: Feeds, first: int, count: int, output: str) -> NDArray[Any]:
        """What some members answer, [1, count, N, K], in pieces of images. Raises as `members`."""
        members = self.members(output)
        pieces = [members.run(piece, first, count) for piece in _split(feeds, self._piece)]
        return self._concatenated(pieces, 1)[np.newaxis]

    def _rows(self, feeds: Feeds, draw: Draw, rows: list[str]) -> list[NDArray[Any]]:
        controls = {
            sampling.SEED: np.array(draw.seed, np.int64),
            sampling.SAMPLES: np.array(draw.samples, np.int64),
            sampling.FIRST_SAMPLE: np.array(draw.first, np.int64),
        }
        found = self._compute(rows, {**feeds, **controls})
        for name, value in zip(rows, found, strict=True):
            if not value.ndim or len(value) % draw.samples:
                raise ModelError(
                    f"{self._path}: its output {name} has the shape {list(value.shape)} for"
                    f" {draw.samples} noise samples; export the model again"
                )
        return [value.reshape(-1, draw.samples, *value.shape[1:]) for value in found]

    def _joined(
        self, names: list[str], pieces: list[list[NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Pieces of a batch as one, each output along its batch axis."""
        if len(pieces) == 1:
            return dict(zip(names, pieces[0], strict=True))
        batch = self.inputs[0].shape[0]
        axes = {output.name: output.shape.index(batch) for output in self.outputs}
        return {
            name: self._concatenated(parts, axes[name])
            for name, parts in zip(names, zip(*pieces, strict=True), strict=True)
        }

    def _concatenated(self, parts: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
        try:
            return np.concatenate(parts, axis)
        except ValueError as error:
            raise ModelError(
                f"{self._path}: its outputs do not have the declared shapes; export the model again"
            ) from error

    def _compute(self, names: list[str], feeds: Feeds) -> list[NDArray[Any]]:
        try:
            return self._loaded.run(names, feeds)
        except Failure as error:
            shapes = ", ".join(str(list(feeds[node.name].shape)) for node in self.inputs)
            raise ModelError(f"{self._path}: failed on input of shape {shapes}: {error}") from error

    def _noise(self) -> Draw | None:
        if not self._loaded.controls.issuperset(sampling.INPUTS):
            return None
        defaults = sampling.defaults(self.metadata)
        if defaults is None or not self.rows:
            raise ModelError(
                f"{self._path}: does not record how its noise is sampled; export the model again"
            )
        return defaults

    @property
    def rows(self) -> list[str]:
        """Outputs with a row for each member and noise sample."""
        batch = self.inputs[0].shape[:1]
        return [
            output.name
            for output in self.outputs
            if output.name.startswith(MEMBER)
            and isinstance(next(iter(output.shape), None), str)
            and output.shape[:1] != batch
        ]

    def _pieces(self) -> int:
        """How many images are computed at once.

        A batch whose activations leave the cache is computed piece by piece, so
        that no image costs more in a batch than alone. Each noise sample of an
        image counts as one.
        """
        batch = self.inputs[0].shape[:1]
        working_set = self.metadata.get("working_set")
        if not isinstance(working_set, int) or working_set < 1:
            return sys.maxsize
        has_batch = isinstance(batch[0] if batch else None, str)
        same = has_batch and all(node.shape[:1] == batch for node in self.inputs)
        if not same or any(output.shape.count(batch[0]) != 1 for output in self.outputs):
            return sys.maxsize
        return max(1, _CACHE_BYTES // working_set)


def _split(feeds: Feeds, size: int) -> Iterator[Feeds]:
    """The batch in pieces of at most this many images."""
    count = max([len(x) for x in feeds.values() if x.ndim], default=1)
    if count <= size:
        yield feeds
        return
    for start in range(0, count, size):
        yield {name: x[start : start + size] for name, x in feeds.items()}


def _check_tensors(path: Path, inputs: list[TensorInfo], outputs: list[TensorInfo]) -> None:
    """Raises ModelError for inputs that arrays cannot be given to, and outputs that are none."""
    if not inputs:
        raise ModelError(f"{path}: has no input")
    if not inputs[0].shape:
        raise ModelError(
            f"{path}: its input {inputs[0].name!r} has no declared shape, or no batch; export the"
            " model again"
        )
    for kind, node in (*(("input", x) for x in inputs), *(("output", y) for y in outputs)):
        try:
            np.dtype(node.dtype)
        except TypeError:
            raise ModelError(
                f"{path}: its {kind} {node.name!r} is of the type {node.dtype}; only tensors of"
                " numbers can be used"
            ) from None


def _metadata(path: Path, text: str | None) -> dict[str, Any]:
    try:
        metadata = json.loads(text or "{}")
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise ModelError(f"{path}: its sbn metadata is damaged; export the model again")
    classes = metadata.get("classes")
    if classes is not None and not (
        isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    ):
        raise ModelError(
            f"{path}: its names of classes are not a list of texts; export the model again"
        )
    return metadata
