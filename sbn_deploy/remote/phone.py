"""Measuring exported models on a phone, in our own runtime."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.benchmark.measure import Watched, measure_at
from sbn_deploy.benchmark.rounds import Taken
from sbn_deploy.benchmark.sessions import (
    BUSY_S,
    MOST_SESSIONS,
    SESSION_RUNS,
    SESSIONS,
    Measured,
    is_precise,
    sessions_for,
)
from sbn_deploy.benchmark.stability import RULE_OF_CORE
from sbn_deploy.benchmark.worker import Spec
from sbn_deploy.engines.engine import example
from sbn_deploy.engines.table import NATIVE
from sbn_deploy.evaluate.scores import BATCH, score
from sbn_deploy.profile.node_times import Times, random_signs
from sbn_deploy.records.benchmark import Benchmark, Settings
from sbn_deploy.records.evaluation import Scores
from sbn_deploy.records.machine import Machine
from sbn_deploy.records.measurement import Model, head
from sbn_deploy.records.remote import Remote
from sbn_runtime import Session, engines, sampling
from sbn_runtime.feeds import Feeds

from .adb import AdbConnection
from .answer import Place, Timed, read_profiled
from .calls import Outputs, Recording, Replaying, check_outputs, write_calls
from .program import PhoneProgram, program_here
from .target import Phone

Say = Callable[[str], None]
# Of the images that are sent at once, as the model takes them.
PUSH_BYTES = 64_000_000
CHECKED_NOISE = {sampling.SEED: 7, sampling.SAMPLES: 3, sampling.FIRST_SAMPLE: 1}
PEAK, PEAK_CALLS, IMAGES = "peak.onnx", "peak-calls", "images"


class Twin(Session):
    """A model in our own runtime here, whose calls can be repeated elsewhere.

    Raises what `Session` raises.
    """

    _here: engines.Engine

    def __init__(self, path: Path) -> None:
        super().__init__(path, engine=NATIVE)
        self._executor.redirect(self._keep)

    def recorded(self) -> Recording:
        """Computes here, and keeps what was computed since."""
        recording = Recording(self._here)
        self._executor.redirect(lambda _: recording)
        return recording

    def replay(self, answers: Sequence[Outputs]) -> None:
        """Answers the same calls once more, with what they gave elsewhere."""
        self._executor.redirect(lambda _: Replaying(self._here, answers))

    def _keep(self, engine: engines.Engine) -> engines.Engine:
        self._here = engine
        return engine


def measure_on_phone(
    phone: Phone,
    models: Sequence[tuple[Path, Model]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]] | None,
    settings: Settings,
    isa: str,
    say: Say,
) -> Benchmark:
    """Times models on a phone in turns and leaves nothing behind there.

    Args:
        models: exported ONNX files, and what is known of them.
        test: images uint8 [N, H, W, C] and labels int64 [N], which the first model classifies.
        settings: how to measure; `max_seconds` is given.
        isa: the kernel set to use there; "" for the fastest.

    Raises:
        RemoteError: the phone cannot be reached, lacks what is needed, was lost, or computed
            something else than this machine.
        MissingDependencyError: adb or the program for 64-bit ARM is missing here.
        ModelError: a model cannot be used.
        InputError: a model does not take such a batch; the images do not fit the first one.
    """
    with _on_phone(phone, [path for path, _ in models], isa, say) as (program, twins, folder):
        starts = _Starts(program, settings)
        numbers = {facts.name: index for index, (_, facts) in enumerate(models)}

        def place(present: Sequence[Spec], threads: int, batch: int, seconds: float) -> Watched:
            done = len(starts.places)
            files = [
                (_model(numbers[spec.model]), _calls(numbers[spec.model], batch))
                for spec in present
            ]
            measured = starts.in_turns(files, threads, seconds)
            first, last = starts.places[done], starts.places[-1]
            return Watched(measured, first.before, last.after, background=None)

        _send_and_check(program, twins, settings.batch, max(settings.threads), folder, say)
        specs = [Spec(facts.name, NATIVE, str(path)) for path, facts in models]
        figures = measure_at(place, specs, settings, say=say)
        accuracy, differing = None, None
        if test is not None:
            accuracy, differing = _classify(
                program, twins[0], test, max(settings.threads), folder, say
            )
        remote = replace(program.remote(), differing_labels=differing)
        machine = program.machine(starts.places[0])
    return Benchmark(
        **head(machine),
        models=tuple(facts for _, facts in models),
        settings=settings,
        **figures,
        rule=RULE_OF_CORE,
        accuracy=accuracy,
        remote=remote,
    )


def profile_on_phone(
    phone: Phone, model: Path, *, threads: int, batch: int, runs: int, isa: str, say: Say
) -> tuple[Times, Machine, Remote]:
    """Times each node of an exported model on a phone. Raises as `measure_on_phone` does."""
    from sbn_deploy.profile.peak import peak_model  # needs onnx

    with _on_phone(phone, [model], isa, say) as (program, twins, folder):
        (folder / PEAK).write_bytes(peak_model())
        peak = engines.find(NATIVE).load(folder / PEAK, threads=1, spin=False)
        write_calls(folder / PEAK_CALLS, [random_signs(peak.inputs)])
        _send_and_check(
            program, twins, (batch,), threads, folder, say, folder / PEAK, folder / PEAK_CALLS
        )
        say(f"{program.serial}: {runs} calls of {model.name}")
        text = program.profile(
            _model(0),
            _calls(0, batch),
            threads,
            runs=runs,
            busy_s=BUSY_S,
            peak=PEAK,
            peak_calls=PEAK_CALLS,
        )
        place, times = read_profiled(text, program.serial, threads, batch)
        return times, program.machine(place), program.remote()


class _Starts:
    """Starts of the program, of which models take turns: start by start, not call by call.

    Attributes:
        places: what each start said of the phone.
    """

    def __init__(self, program: PhoneProgram, settings: Settings) -> None:
        self.places: list[Place] = []
        self._program = program
        self._runs, self._warmup = settings.runs, settings.warmup

    def in_turns(
        self, files: Sequence[tuple[str, str]], threads: int, seconds: float
    ) -> list[Measured]:
        """Times models, given as the names of model and calls there, as `measure_sessions` does.

        A start is a session, and what it measures one round: its calls follow each other at once,
        or the phone would lower the frequency of its cores in between.
        """
        end = perf_counter() + seconds
        random = Random(0)
        measured = [Measured() for _ in files]
        planned = MOST_SESSIONS
        if self._runs is not None:
            planned = min(self._runs, sessions_for(self._runs))
        done, cost = 0, 0.0
        for index in range(planned):
            left, start = planned - index, perf_counter()
            if index and start + cost >= end:
                break
            if self._runs is None and index >= SESSIONS and all(map(is_precise, measured)):
                break
            wanted, share = SESSION_RUNS, seconds / SESSIONS
            if self._runs is not None:
                wanted, share = ceil((self._runs - done) / left), (end - start) / left
            share = max(0.0, min(share, end - start)) / len(files)
            for which in random.sample(range(len(files)), len(files)):
                timed = self._start(*files[which], threads, wanted, share)
                measured[which].started.append(timed.started)
                measured[which].sessions.append(Taken([timed.ns / 1e6], len(timed.ns)))
            done += wanted
            cost = perf_counter() - start
        return measured

    def _start(self, model: str, calls: str, threads: int, runs: int, seconds: float) -> Timed:
        timed = self._program.time(
            model,
            calls,
            threads,
            runs=runs,
            warmup=self._warmup,
            busy_s=min(BUSY_S, seconds / 2),
            limit_s=seconds,
        )
        self.places.append(timed.place)
        return timed


@contextmanager
def _on_phone(
    phone: Phone, models: Sequence[Path], isa: str, say: Say
) -> Iterator[tuple[PhoneProgram, list[Twin], Path]]:
    """The program there, the models here, and a folder here."""
    program_here()
    with tempfile.TemporaryDirectory() as folder:
        twins = [Twin(path) for path in models]
        for index, path in enumerate(models):
            shutil.copyfile(path, Path(folder, _model(index)))
        say("looking for the phone")
        with AdbConnection(phone, say) as device:
            yield PhoneProgram(device, isa, say), twins, Path(folder)


def _model(index: int) -> str:
    return f"model{index}.onnx"


def _calls(index: int, batch: int) -> str:
    """Calls of a model; the first is the one that is timed."""
    return f"calls{index}-{batch}"


def _send_and_check(
    program: PhoneProgram,
    twins: Sequence[Twin],
    batches: Sequence[int],
    threads: int,
    folder: Path,
    say: Say,
    *more: Path,
) -> None:
    """Sends the models, and compares what they answer there and here, with noise of two seeds."""
    recordings: dict[tuple[int, int], Recording] = {}
    for index, twin in enumerate(twins):
        for batch in batches:
            feeds: Feeds = example(twin.inputs, batch)
            recording = twin.recorded()
            for call in _with_noise(feeds, recording.controls):
                recording.run([], call)
            write_calls(folder / _calls(index, batch), recording.calls)
            recordings[index, batch] = recording
    models = [folder / _model(index) for index in range(len(twins))]
    program.send(*models, *(folder / _calls(*place) for place in recordings), *more)
    say(f"{program.serial}: comparing what the model computes there and here")
    for (index, batch), recording in recordings.items():
        there = program.answer(
            _model(index), _calls(index, batch), threads, recording.answers, folder
        )
        check_outputs(program.serial, recording.outputs, recording.answers, there)


def _with_noise(feeds: Feeds, controls: frozenset[str]) -> list[Feeds]:
    other: Mapping[str, NDArray[np.int64]] = {
        name: np.array(value) for name, value in CHECKED_NOISE.items() if name in controls
    }
    return [feeds, {**feeds, **other}] if other else [feeds]


def _classify(
    program: PhoneProgram,
    twin: Twin,
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
    threads: int,
    folder: Path,
    say: Say,
) -> tuple[Scores, int]:
    """How well the phone classifies images, and how many get another label there than here."""
    images, labels = test
    found: list[NDArray[np.float32]] = []
    done = differing = 0
    for parts in _pushes(twin, images):
        say(f"{program.serial}: classifying images, {done:,} of {len(images):,} done")
        recording = twin.recorded()
        here = np.concatenate([twin.predict_proba(part) for part in parts])
        write_calls(folder / IMAGES, recording.calls)
        program.send(folder / IMAGES)
        twin.replay(program.answer(_model(0), IMAGES, threads, recording.answers, folder))
        there = np.concatenate([twin.predict_proba(part) for part in parts])
        differing += int((here.argmax(axis=1) != there.argmax(axis=1)).sum())
        found.append(there)
        done += len(there)
    return score(np.concatenate(found), labels), differing


def _pushes(twin: Twin, images: NDArray[np.uint8]) -> Iterator[list[NDArray[Any]]]:
    """The images as the model takes them, in batches, by what is sent at once."""
    parts: list[NDArray[Any]] = []
    size = 0
    for start in range(0, len(images), BATCH):
        parts.append(twin.preprocess(images[start : start + BATCH]))
        size += parts[-1].nbytes
        if size >= PUSH_BYTES:
            yield parts
            parts, size = [], 0
    if parts:
        yield parts
