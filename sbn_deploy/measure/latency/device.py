"""What runs on the device: `python -m sbn_deploy.measure.latency.device FOLDER`.

FOLDER holds `job.json`, the models it names, and the test images if there are any.
Needs the base install only. Writes one line of JSON to standard output, what
`record.timed` returns, `accuracy` and the `labels` that the model gives to the images.
Progress goes to standard error, an error there on one line with exit status 2.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbn_deploy.measure.latency.record import Settings, classified, timed
from sbn_deploy.measure.latency.timing import image_shape
from sbn_deploy.measure.latency.worker import Spec
from sbn_runtime import SbnError, Session

JOB = "job.json"
MODEL = "model.onnx"
IMAGES = "images.npz"


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        name: what people call the model.
        rivals: by engine name, the file of a float model to run in turns with ours.
        images: whether there are test images to classify: an archive IMAGES with
            `images` uint8 [N, H, W, C] and `labels` int64 [N].
    """

    name: str
    settings: Settings
    rivals: Mapping[str, str]
    images: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        return cls(**fields | {"settings": Settings(**fields["settings"])})


def run_job(folder: Path) -> dict[str, Any]:
    """Does the job in `folder`. Raises what `timed` and `classified` raise."""
    job = Job.from_json((folder / JOB).read_text())
    session = Session(folder / MODEL)
    image = image_shape(session)
    specs = [Spec(job.name, "sbn", "sbn", image, str(folder / MODEL))]
    for engine, file in job.rivals.items():
        specs.append(Spec(job.name, engine, "onnxruntime", image, str(folder / file)))
    record = timed(specs, job.settings, say=_say)
    if job.images:
        with np.load(folder / IMAGES, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
        _say(f"classifying {len(images)} images")
        record["accuracy"], found = classified(session, images, labels)
        record["labels"] = found.tolist()
    return record


def main(folder: Path) -> int:
    """Does the job in `folder`; returns the exit status."""
    try:
        print(json.dumps(run_job(folder)))
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
