"""What runs on the device: `python -m sbn_deploy.remote.device FOLDER`.

FOLDER holds `job.json`, a folder for each model, and the test images if there are any.
Needs the base install only. Writes one line of JSON to standard output, the answer.
Progress goes to standard error, an error there on one line with exit status 2.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from sbn_deploy.benchmark.measure import measure
from sbn_deploy.benchmark.worker import Spec
from sbn_deploy.engines.table import SBN
from sbn_deploy.evaluate.scores import classified
from sbn_deploy.machine.describe import describe
from sbn_deploy.profile.node_times import Times, time_nodes
from sbn_deploy.records.benchmark import Benchmark, Settings
from sbn_deploy.records.machine import Machine
from sbn_deploy.records.measurement import Model
from sbn_deploy.records.schema import Record
from sbn_runtime import SbnError, Session

JOB = "job.json"
MODEL = "model.onnx"
IMAGES = "images.npz"
PEAK = "peak.onnx"


def folder_of(number: int) -> str:
    """Where a model lies, with the files that hold constants of it."""
    return f"model{number}"


@dataclass(frozen=True)
class BenchmarkJob:
    """Times models in turns.

    Attributes:
        models: the facts of each; the file is MODEL in its folder.
        baselines: of each, by engine name, the file that one runs in turns with it.
        images: whether there are test images for the first model to classify: an archive IMAGES
            with `images` uint8 [N, H, W, C] and `labels` int64 [N].
    """

    models: tuple[Model, ...]
    settings: Settings
    baselines: tuple[Mapping[str, str], ...]
    images: bool


@dataclass(frozen=True)
class ProfileJob:
    """Times each node of the first folder's MODEL; PEAK is what shows how fast the CPU is."""

    threads: int
    batch: int
    runs: int


Job = BenchmarkJob | ProfileJob
_KINDS = {"benchmark": BenchmarkJob, "profile": ProfileJob}


@dataclass(frozen=True, kw_only=True)
class Answer(Record):
    """What was measured; and the label that the model gives to each image, if there are any."""

    benchmark: Benchmark
    labels: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class ProfileAnswer(Record):
    """What was timed, and on what machine."""

    machine: Machine
    times: Times


def to_json(job: Job) -> str:
    """The content of JOB."""
    kind = next(name for name, kind in _KINDS.items() if isinstance(job, kind))
    return json.dumps({"kind": kind} | asdict(job))


def run_benchmark(folder: Path, job: BenchmarkJob) -> Answer:
    """Raises what `measure` and `classified` raise."""
    specs = []
    for number, (model, baselines) in enumerate(zip(job.models, job.baselines, strict=True)):
        path = folder / folder_of(number) / MODEL
        specs.append(Spec(model.name, SBN, str(path)))
        for engine, file in baselines.items():
            specs.append(Spec(model.name, engine, str(folder / file)))
    record = measure(specs, list(job.models), job.settings, say=_say)
    if not job.images:
        return Answer(benchmark=record, labels=None)
    with np.load(folder / IMAGES, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    _say(f"classifying {len(images)} images")
    scores, found = classified(Session(folder / folder_of(0) / MODEL), images, labels)
    return Answer(benchmark=replace(record, accuracy=scores), labels=tuple(found.tolist()))


def run_profile(folder: Path, job: ProfileJob) -> ProfileAnswer:
    """Raises what `time_nodes` raises."""
    _say(f"{job.runs} calls")
    model, peak = folder / folder_of(0) / MODEL, (folder / PEAK).read_bytes()
    return ProfileAnswer(machine=describe(), times=time_nodes(model, peak, **asdict(job)))


def run_job(folder: Path) -> Answer | ProfileAnswer:
    """Does the job in `folder`."""
    fields = json.loads((folder / JOB).read_text(encoding="utf-8"))
    if fields.pop("kind") == "profile":
        return run_profile(folder, ProfileJob(**fields))
    job = BenchmarkJob(
        tuple(Model(**model) for model in fields["models"]),
        Settings(**fields["settings"]),
        tuple(fields["baselines"]),
        fields["images"],
    )
    return run_benchmark(folder, job)


def main(folder: Path) -> int:
    """Does the job in `folder`; returns the exit status."""
    try:
        print(json.dumps(asdict(run_job(folder))))
    except SbnError as error:
        _say(" ".join(str(error).split()))
        return 2
    except MemoryError:
        _say("not enough memory")
        return 2
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
