"""What runs on the device: `python -m sbn_deploy.remote.device FOLDER`.

FOLDER holds `job.json`, the models it names, and the test images if there are any.
Needs the base install only. Writes one line of JSON to standard output, `Answer`.
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
from sbn_deploy.evaluate.scores import classified
from sbn_deploy.records.benchmark import Benchmark, Settings
from sbn_deploy.records.measurement import Model
from sbn_deploy.records.schema import Record
from sbn_runtime import SbnError, Session

JOB = "job.json"
MODEL = "model.onnx"
IMAGES = "images.npz"


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        model: the facts of the file MODEL.
        baselines: by engine name, the file of a float model to run in turns with ours.
        images: whether there are test images to classify: an archive IMAGES with
            `images` uint8 [N, H, W, C] and `labels` int64 [N].
    """

    model: Model
    settings: Settings
    baselines: Mapping[str, str]
    images: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        model, settings = Model(**fields["model"]), Settings(**fields["settings"])
        return cls(**fields | {"model": model, "settings": settings})


@dataclass(frozen=True, kw_only=True)
class Answer(Record):
    """What was measured; and the label that the model gives to each image, if there are any."""

    benchmark: Benchmark
    labels: tuple[int, ...] | None


def run_job(folder: Path) -> Answer:
    """Does the job in `folder`. Raises what `measure` and `classified` raise."""
    job = Job.from_json((folder / JOB).read_text())
    specs = [Spec(job.model.name, "sbn", "sbn", str(folder / MODEL))]
    for engine, file in job.baselines.items():
        specs.append(Spec(job.model.name, engine, "onnxruntime", str(folder / file)))
    record = measure(specs, [job.model], job.settings, say=_say)
    if not job.images:
        return Answer(benchmark=record, labels=None)
    with np.load(folder / IMAGES, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    _say(f"classifying {len(images)} images")
    scores, found = classified(Session(folder / MODEL), images, labels)
    return Answer(benchmark=replace(record, accuracy=scores), labels=tuple(found.tolist()))


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
