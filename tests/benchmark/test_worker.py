"""Engines in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from sbn_deploy.benchmark.sessions import Worker, worker
from sbn_deploy.benchmark.worker import Job, Spec
from sbn_runtime import ModelError
from sbn_runtime.errors import InputError, MissingDependencyError

from ..small_models import Classifier


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "model.onnx")


def job(model: Path, engine: str = "sbn", *, batch: int = 2, warmup: int = 3) -> Job:
    spec = Spec("model", engine, str(model))
    cores = sorted(os.sched_getaffinity(0))[-1:]
    return Job(spec, 1, batch, warmup, warmup_s=1e9, busy_s=0, cores=cores)


def test_jobs_travel_as_text(tmp_path: Path) -> None:
    made = job(tmp_path / "model.onnx")
    again = Job.from_json(made.to_json())
    assert again.to_json() == made.to_json()
    assert isinstance(again.spec, Spec)


@pytest.mark.parametrize("engine", ["sbn", "native", "onnxruntime"])
def test_an_engine_takes_turns(model: Path, engine: str) -> None:
    wanted = job(model, engine)
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
        with pytest.raises(ModelError, match=r"^sbn ended while it ran model: status -9$"):
            process.turn(10_000_000)


@pytest.mark.parametrize(
    ("fixed", "content", "error"),
    [(True, None, InputError), (False, b"nothing", ModelError)],
)
def test_what_the_engine_raises_is_raised_here(
    model: Path, fixed: bool, content: bytes | None, error: type[Exception]
) -> None:
    if fixed:
        proto = onnx.load(model)
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
        onnx.save(proto, model)
    if content is not None:
        model.write_bytes(content)
    wanted = job(model)
    with worker(wanted.spec) as process:
        process.wait_until_ready()
        with pytest.raises(error):
            process.start(wanted)


def cpu_ticks(process: Worker) -> int:
    """What a process has had of the cores; all its threads."""
    text = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(text[11]) + int(text[12])


def test_who_waits_does_not_run(model: Path) -> None:
    """An engine with threads that never stop looking for work, beside one of ours."""
    wanted = job(model)
    with (
        worker(wanted.spec, "tests.benchmark.spinning") as spinning,
        worker(wanted.spec) as ours,
    ):
        for process in (spinning, ours):
            process.wait_until_ready()
            process.start(wanted)
        assert len(spinning.turn(20).ns) == 20
        before = cpu_ticks(spinning)
        assert before > 0
        while cpu_ticks(ours) < 30:
            ours.turn(10_000)
        assert cpu_ticks(spinning) <= before + 1
        # And it goes on when it is asked.
        spinning.turn(200)
        assert cpu_ticks(spinning) > before


def test_a_process_that_is_held_ends_with_the_one_that_started_it(model: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from sbn_deploy.benchmark.sessions import Worker, worker\n"
        "from sbn_deploy.benchmark.worker import Spec\n"
        f"with worker(Spec('m', 'sbn', {str(model)!r})) as process:\n"
        "    process.wait_until_ready()\n"
        "    print(process.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    held = Path(f"/proc/{int(done.stdout)}")
    end = time.monotonic() + 30
    while held.exists() and "Z" not in (held / "stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < end
        time.sleep(0.01)


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
