"""`sbn predict -o`: the answers to many pictures, in a parquet file."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import printable, say, show_json, writable

if TYPE_CHECKING:
    from sbn_deploy.many.run import Workers
    from sbn_runtime import BatchClassifier, Preprocess, Standardize

SUFFIX = ".parquet"
# What the columns of the file hold anyway, or does not apply to it.
EXCLUDED = ("uncertainty", "min_confidence", "until", "sets")


def run(options: argparse.Namespace) -> int:
    """Classifies all pictures into a file."""
    from sbn_deploy.many.run import folder_of
    from sbn_deploy.many.run import run as classify
    from sbn_deploy.many.sources import units
    from sbn_deploy.train.progress import progress
    from sbn_runtime import BatchClassifier, InputError

    output: Path = options.output
    for name in EXCLUDED:
        if getattr(options, name):
            raise InputError(f"--{name.replace('_', '-')} and -o exclude each other")
    if options.ray is not None and options.processes is not None:
        raise InputError("--ray and --processes exclude each other: all cores of a cluster work")
    if output.suffix != SUFFIX:
        raise InputError(f"{output}: answers are written as {SUFFIX}; name the file so")
    writable(output)
    import_module("pyarrow")  # if it is missing, better now than after the work
    asked: dict[str, Any] = {name: getattr(options, name) for name in ("samples", "seed")}
    asked |= {"coverage": options.coverage, "reject": options.reject_unknown}
    classifier = BatchClassifier(
        options.model, engine=options.engine, threads=options.threads or 1, **asked
    )
    suffixes = _suffixes(options.model, classifier.wanted)
    skip = (output, folder_of(output))
    say("looking for pictures")
    count = pictures = 0
    for unit in units(options.files, suffixes, skip):
        count, pictures = count + 1, pictures + unit.count
    if not count:
        raise InputError(
            f"{', '.join(map(str, options.files))}: no pictures; read are {', '.join(suffixes)}"
        )
    try:
        with _workers(options, classifier, count) as (workers, title):
            say(f"classifying {pictures:,} pictures in {count:,} parts, {title}")
            with progress("parts", count) as report:
                outcome = classify(
                    classifier,
                    units(options.files, suffixes, skip),
                    output,
                    settings={**asked, "engine": classifier.engine, **_versions(options.model)},
                    workers=workers,
                    report=report,
                )
    except KeyboardInterrupt:
        say(f"run the same command to resume; answers so far: {folder_of(output)}")
        raise
    if options.json:
        show_json({"output": output, **vars(outcome)})
    else:
        print(f"{outcome.pictures:,} pictures, {outcome.unreadable:,} of them unreadable")
    say(f"written: {printable(str(output))}")
    return 0


@contextmanager
def _workers(
    options: argparse.Namespace, classifier: BatchClassifier, parts: int
) -> Iterator[tuple[Workers, str]]:
    """Who classifies, and how to call that."""
    from functools import partial

    from sbn_deploy.many.processes import in_processes
    from sbn_runtime.system import core_count, default_threads

    if options.ray is None:
        processes = min(parts, options.processes or default_threads() or core_count())
        title = "in this process" if processes == 1 else f"in {processes} processes"
        yield partial(in_processes, classifier, processes), title
        return
    from sbn_deploy.many.on_ray import Cluster

    with Cluster(options.ray, classifier) as cluster:
        yield cluster, f"on {cluster.cores} cores of a Ray cluster"


def _suffixes(model: Path, wanted: Preprocess | Standardize) -> tuple[str, ...]:
    """Of the files that are pictures to a model. Raises InputError where none are."""
    from sbn_runtime import InputError, Preprocess
    from sbn_runtime.decode import formats
    from sbn_runtime.sound import SUFFIXES

    if not isinstance(wanted, Preprocess):
        raise InputError(f"{model}: takes numbers of shape {list(wanted.shape)}; -o is for images")
    if wanted.sound is not None:
        return SUFFIXES
    return tuple(suffix for known in formats().values() for suffix in known)


def _versions(model: Path) -> dict[str, str]:
    """Of the program and the model."""
    from sbn_runtime import __version__

    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"version": __version__, "model": digest}
