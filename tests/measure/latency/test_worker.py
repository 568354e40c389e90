"""Engines in processes of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sbn_deploy.measure.latency.sessions import worker
from sbn_deploy.measure.latency.worker import Job, Kind, Spec
from sbn_runtime import ModelError
from sbn_runtime.errors import InputError, MissingDependencyError

from ...small_models import SIZE, Classifier


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "model.onnx")


def job(model: Path, kind: Kind = "sbn", *, size: int = SIZE, warmup: int = 3) -> Job:
    spec = Spec("model", "engine", kind, (1, size, size), str(model))
    cores = sorted(os.sched_getaffinity(0))[-1:]
    return Job(spec, 1, 2, warmup, warmup_s=1e9, busy_s=0, cores=cores)


def test_jobs_travel_as_text(tmp_path: Path) -> None:
    made = job(tmp_path / "model.onnx")
    again = Job.from_json(made.to_json())
    assert again.to_json() == made.to_json()
    assert isinstance(again.spec, Spec)


@pytest.mark.parametrize("kind", ["sbn", "onnxruntime"])
def test_an_engine_takes_turns(model: Path, kind: Kind) -> None:
    wanted = job(model, kind)
    with worker(wanted.spec) as process:
        process.wait_until_ready()
        started = process.start(wanted)
        turns = [process.turn(calls) for calls in (3, 1)]
    assert [len(turn.ns) for turn in turns] == [3, 1]
    assert all(turn.calls > len(turn.ns) for turn in turns)
    assert started.start_ms > 0
    assert started.call_ms > 0
    assert started.peak_bytes is not None
    assert started.process_bytes is not None
    assert 0 <= started.peak_bytes < started.process_bytes
    # Measuring adds less than a call that does anything.
    assert 0 <= started.overhead_us * 1e3 < min(turns[0].ns)


def test_the_process_ends_with_the_context(model: Path) -> None:
    with worker(job(model).spec) as process:
        process.wait_until_ready()
    assert process.process.returncode == -signal.SIGKILL


def test_a_process_that_dies_is_named(model: Path) -> None:
    wanted = job(model)
    with worker(wanted.spec) as process:
        process.wait_until_ready()
        process.start(wanted)
        process.process.kill()
        with pytest.raises(ModelError, match=r"^engine ended while it ran model: status -9$"):
            process.turn(10_000_000)


@pytest.mark.parametrize(
    ("size", "content", "error"),
    [(SIZE + 1, None, InputError), (SIZE, b"nothing", ModelError)],
)
def test_what_the_engine_raises_is_raised_here(
    model: Path, size: int, content: bytes | None, error: type[Exception]
) -> None:
    if content is not None:
        model.write_bytes(content)
    wanted = job(model, size=size)
    with worker(wanted.spec) as process:
        process.wait_until_ready()
        with pytest.raises(error):
            process.start(wanted)


def test_missing_libraries_are_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder hides larq-compute-engine where it is installed."""
    hidden = model.parent / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys, importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest:"
        " None if name == 'larq_compute_engine' else real(name, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{hidden}:{os.environ.get('PYTHONPATH', '')}")
    with (
        worker(job(model, "lce").spec) as process,
        pytest.raises(MissingDependencyError, match="larq-compute-engine"),
    ):
        process.wait_until_ready()
