"""Model cards: what a model is, how good and how fast it was measured to be, how to use it.

Markdown with the front matter of Hugging Face's model cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sbn_deploy.measure.measurement import ModelFacts, describe_model
from sbn_deploy.tasks import OBJECTIVES, find
from sbn_runtime import Session
from sbn_runtime.tasks import CLASSIFICATION, NONE

TAGS = ("stochastic-binary-network", "binary-neural-network", "onnx", "edge")
# A path after the kind of a data set says nothing to others.
_PATHS = re.compile(r"\b(cifar10|folder|npz|hf-parquet):[^\s'\"]+")


_PIPELINES = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "image": "image-to-image",
}
"""What Hugging Face calls tasks whose input is images."""
_ANSWERS = {
    "classification": "tells {count} classes apart: {names}",
    "multilabel": "says which of {count} labels hold: {names}",
    "segmentation": "tells {count} classes of pixels apart: {names}",
    "regression": "answers with numbers",
    "image": "answers with an image",
    "none": "answers with what its network does",
}


@dataclass(frozen=True)
class Subject:
    """The model that a card is about, with the measurements of all forms of its checkpoint."""

    facts: ModelFacts
    metadata: Mapping[str, Any]
    evaluations: Sequence[Mapping[str, Any]]
    benchmarks: Sequence[Mapping[str, Any]]
    task: str = CLASSIFICATION


def subject(model: Path, measurements: Iterable[Mapping[str, Any]]) -> Subject:
    """A model file with those of the measurements that are of it, or of its checkpoint.

    Raises what `Session` raises.
    """
    session = Session(model)
    metadata = session.metadata
    facts = describe_model(model, metadata)
    found = list(measurements)
    return Subject(
        facts,
        metadata,
        [
            record
            for record in found
            if record["kind"] == "evaluation"
            and record.get("task", CLASSIFICATION) == session.task
            and _is_of(record["model"], facts)
        ],
        [
            record
            for record in found
            if record["kind"] == "benchmark"
            and any(_is_of(model, facts) for model in record["models"])
        ],
        session.task,
    )


def write_card(about: Subject, *, text: str = "", license: str | None = None) -> str:
    """The card as Markdown.

    Args:
        text: Markdown to put below the title: what the numbers cannot say.
        license: identifier of the model's license, as "apache-2.0".
    """
    parts = [
        _front_matter(about, license),
        f"# {about.facts.arch or about.facts.name}",
        text.strip(),
        _what(about),
        _accuracy(about),
        _scores(about),
        _latency(about),
        _use(about),
        _origin(about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _is_of_images(about: Subject) -> bool:
    return "pixel_max" in (about.metadata.get("preprocess") or {})


def _main_value(record: Mapping[str, Any]) -> float | None:
    """The metric to choose by of an evaluation."""
    value = record["metrics"][0]["value"] if "metrics" in record else record["scores"]["accuracy"]
    return None if value is None else float(value)


def _is_of(model: Mapping[str, Any], facts: ModelFacts) -> bool:
    if model["sha256"] == facts.sha256:
        return True
    checkpoint = model["checkpoint_sha256"]
    return checkpoint is not None and checkpoint == facts.checkpoint_sha256


def _front_matter(about: Subject, license: str | None) -> str:
    kind = _PIPELINES.get(about.task) if _is_of_images(about) else None
    main = find(about.task).main.key if about.task in OBJECTIVES else None
    results = [
        {
            "task": {"type": kind or about.task},
            "dataset": {"name": record["data"]["name"], "type": record["data"]["name"]},
            "metrics": [
                {
                    "type": main,
                    "value": round(value, 4),
                    "name": f"{main}, {_form(record['model'])}",
                }
            ],
        }
        for record in about.evaluations
        if (value := _main_value(record)) is not None
    ]
    entries: dict[str, Any] = {
        "license": license,
        "library_name": "sbn-deploy",
        "pipeline_tag": kind,
        "tags": list(TAGS),
        "datasets": [about.facts.trained_on] if about.facts.trained_on else None,
        "metrics": [main] if main else None,
        "model-index": [{"name": about.facts.arch or about.facts.name, "results": results}]
        if results
        else None,
    }
    # JSON is YAML.
    lines = [f"{key}: {json.dumps(value)}" for key, value in entries.items() if value is not None]
    return "\n".join(["---", *lines, "---"])


def _what(about: Subject) -> str:
    size = about.metadata.get("preprocess")
    classes = about.metadata.get("classes") or []
    lines = [
        f"A stochastic binary network, `{about.facts.file}`: {_form(asdict(about.facts))};"
        f" {about.facts.bytes / 1000:,.0f} kB.",
    ]
    answers = _ANSWERS[about.task].format(count=len(classes), names=_shortened(classes))
    if _is_of_images(about):
        assert size is not None
        kind = {1: "grey", 3: "RGB"}.get(size["channels"], f"{size['channels']}-channel")
        lines.append(
            f"It takes {kind} images of {size['height']}×{size['width']} pixels, values 0 to"
            f" {size['pixel_max']}, and {answers}."
        )
    elif size:
        lines.append(f"It takes numbers of shape {size['shape']}, float32, and {answers}.")
    return " ".join(lines)


def _scores(about: Subject) -> str:
    """What was measured of another task than classification."""
    if about.task == CLASSIFICATION or not about.evaluations:
        return ""
    metrics = find(about.task).metrics
    rows = [
        (
            _form(record["model"]),
            f"{record['data']['images']:,} of {record['data']['name']}",
            *(
                metric.show(found["value"])
                for metric, found in zip(metrics, record["metrics"], strict=True)
            ),
            f"`{_command(record)}`",
        )
        for record in about.evaluations
    ]
    header = ("form", "test inputs", *(metric.title for metric in metrics), "command")
    table = _table(header, rows, right=range(2, 2 + len(metrics)))
    made = "\n".join(_export(record["model"]) for record in about.evaluations)
    return f"## Scores\n\n{table}\n\nThe files come from\n\n```sh\n{made}\n```"


def _accuracy(about: Subject) -> str:
    if about.task != CLASSIFICATION or not about.evaluations:
        return ""
    ordered = sorted(about.evaluations, key=lambda record: record["scores"]["accuracy"])
    rows = [
        (
            _form(record["model"]),
            f"{record['scores']['accuracy']:.2%}",
            f"{record['scores']['low']:.2%} to {record['scores']['high']:.2%}",
            f"{record['scores']['nll']:.3f}",
            f"{record['scores']['brier']:.3f}",
            f"{record['scores']['ece']:.3f}",
            f"`{_command(record)}`",
        )
        for record in ordered
    ]
    images = {(record["data"]["name"], record["data"]["images"]) for record in ordered}
    on = ", ".join(f"{count:,} test images of {name}" for name, count in sorted(images))
    header = ("form", "accuracy", "95 % interval", "NLL", "Brier", "ECE", "command")
    table = _table(header, rows, right=range(1, 6))
    made = "\n".join(_export(record["model"]) for record in ordered)
    return f"## Accuracy\n\nOn {on}.\n\n{table}\n\nThe files come from\n\n```sh\n{made}\n```"


def _latency(about: Subject) -> str:
    parts = []
    for record in about.benchmarks:
        own = {model["name"]: model for model in record["models"] if _is_of(model, about.facts)}
        rows = [
            (
                _form(own[result["model"]]),
                result["engine"],
                str(result["threads"]),
                str(result["batch"]),
                f"{result['p50_ms']:.3f}",
                "–"
                if result["p50_low_ms"] is None
                else f"{result['p50_low_ms']:.3f} to {result['p50_high_ms']:.3f}",
                f"{result['p99_ms']:.3f}",
                f"{result['images_per_s']:,.0f}",
                "–" if result["file_bytes"] is None else f"{result['file_bytes'] / 1000:,.0f}",
            )
            for result in record["results"]
            if result["model"] in own
        ]
        machine = record["machine"]
        header = (
            *("form", "engine", "threads", "batch", "median ms", "95 % interval", "p99 ms"),
            *("images/s", "file kB"),
        )
        unsteady = "; ".join(record["unstable"])
        parts.append(
            f"{machine['cpu']}, {machine['isa']} kernels, onnxruntime {machine['onnxruntime']},"
            f" {record['created'][:10]}"
            + (f". The machine was not steady: {unsteady}" if unsteady else "")
            + f".\n\n{_table(header, rows, right=range(2, 9))}\n\n`{_command(record)}`"
        )
    return "\n\n".join(["## Latency", *parts]) if parts else ""


def _use(about: Subject) -> str:
    size = about.metadata.get("preprocess")
    if not size:
        return ""
    file = about.facts.file
    commands = [f"`sbn predict {file} FILE`", f"`sbn evaluate {file} --data SET`"]
    if _is_of_images(about):
        shape = f"{size['height']}, {size['width']}, {size['channels']}"
        given = f"images = np.zeros((1, {shape}), np.uint8)  # pixels, 0 to {size['pixel_max']}"
        if about.task == CLASSIFICATION:
            bundle = f"`sbn bundle {file} --target android-arm64 -o app.zip`"
            commands = [f"`sbn predict {file} IMAGE`", bundle]
    else:
        shape = ", ".join(map(str, size["shape"]))
        given = f"images = np.zeros((1, {shape}), np.float32)  # as in the data, not normalised"
    answer = "print(session.predict(session.preprocess(images), return_uncertainty=True))"
    if about.task == CLASSIFICATION:
        answer = (
            "probabilities = session.predict_proba(session.preprocess(images))\n"
            'print(session.metadata["classes"][probabilities[0].argmax()])'
        )
    elif about.task == NONE:
        answer = "print(session.run(session.preprocess(images)))"
    return (
        "## Use\n\n"
        "On Linux, x86-64 or 64-bit ARM, with numpy and onnxruntime alone:\n\n"
        "```python\n"
        "import numpy as np\n"
        "from sbn_runtime import Session\n\n"
        f'session = Session("{file}")\n'
        f"{given}\n"
        f"{answer}\n"
        "```\n\n"
        f"{', '.join(commands)} and `sbn benchmark` do the same without code."
    )


def _origin(about: Subject) -> str:
    entries = {
        "architecture": about.facts.arch,
        "settings": json.dumps(about.metadata.get("config")),
        "trained on": about.facts.trained_on,
        "SHA-256 of the file": about.facts.sha256,
        "SHA-256 of the checkpoint": about.facts.checkpoint_sha256,
        "exported by": f"sbn-deploy {about.metadata.get('sbn_deploy')}",
    }
    rows = [(key, f"`{value}`") for key, value in entries.items() if value]
    return "## Origin\n\n" + _table(("", ""), rows)


def _form(model: Mapping[str, Any]) -> str:
    """How a checkpoint became a file, in words."""
    words = "thresholded weights"
    if model["weights"] == "sample":
        words = f"{model['members']} sampled members" if model["members"] > 1 else "sampled weights"
    if model["activations"] == "stochastic":
        words += f", {model['samples']} samples of the noise"
    return words


def _export(model: Mapping[str, Any]) -> str:
    """The command that makes a file."""
    words = ["sbn export checkpoint.safetensors -o", model["file"]]
    if model["weights"] == "sample":
        words.append(f"--weights sample --members {model['members']} --seed {model['seed']}")
    if model["activations"] == "stochastic":
        words.append(f"--activations stochastic --samples {model['samples']}")
        words.append(f"--noise-seed {model['noise_seed']}")
    return " ".join(words)


def _command(record: Mapping[str, Any]) -> str:
    """The command behind a measurement, without paths that only its machine has."""
    words = _PATHS.sub(r"\1:PATH", record["command"]).split(" ")
    return " ".join(Path(word).name if word.startswith("/") else word for word in words)


def _shortened(classes: Sequence[str]) -> str:
    return ", ".join(classes[:12]) + (", …" if len(classes) > 12 else "")


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()
) -> str:
    aligned = set(right)
    rule = ["---:" if index in aligned else "---" for index in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])
