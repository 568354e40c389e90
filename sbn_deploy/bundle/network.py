"""What a bundle says of a model that does not classify images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sbn_deploy import escape
from sbn_runtime import ModelError, Preprocess, Session, Standardize, TensorInfo, __version__
from sbn_runtime.preprocess import preprocess_from
from sbn_runtime.tasks import MEMBER, STANDARD_DEVIATION, TASKS

from .fill import check_name, fill
from .targets import Target

TYPES = ("float32", "uint8")
_MEANT = {
    "probabilities": "the probability of each class or label",
    "prediction": "the numbers",
    "image": "the image",
    "logits": "what becomes probabilities",
    STANDARD_DEVIATION: "how far the networks that were averaged lie apart",
}


@dataclass(frozen=True)
class Network:
    """What a program must know of a model to call it.

    Attributes:
        file: name of the model's file.
        task: as of `Session`.
        inputs: the first dimension is the batch, the others are sizes.
        outputs: those that are worth reading, the answer first.
        preprocess: what makes the first input; None where the model does not say.
        classes: names of classes or labels, if it has any.
        samples: noise samples of each input; 0 for a model without noise.
        calibrated: whether the file has a calibration.
    """

    file: str
    task: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    preprocess: Preprocess | Standardize | None
    classes: tuple[str, ...]
    samples: int
    calibrated: bool = False

    @classmethod
    def of(cls, path: Path, session: Session) -> Network:
        """Reads them from the model. Raises ModelError where programs could not call it."""
        check_name(path)
        for node in session.inputs:
            if node.dtype not in TYPES or not all(isinstance(n, int) for n in node.shape[1:]):
                shape = ", ".join("?" if size is None else str(size) for size in node.shape)
                raise ModelError(
                    f"{path}: its input {node.name} is {node.dtype} [{shape}]; programs need sizes"
                    " that are fixed, but for the first, of float32 or uint8"
                )
        fields = session.metadata.get("preprocess")
        task = TASKS.get(session.task)
        rows = {task.rows} if task else set()
        outputs = [
            node
            for node in session.outputs
            if node.dtype == "float32"
            and node.name not in rows
            and not node.name.startswith(MEMBER)
        ]
        outputs.sort(key=lambda node: task is None or node.name != task.answer)
        if not outputs:
            raise ModelError(f"{path}: has no output of float32 that programs could show")
        return cls(
            file=path.name,
            task=session.task,
            inputs=tuple(session.inputs),
            outputs=tuple(outputs),
            preprocess=preprocess_from(fields) if isinstance(fields, dict) else None,
            classes=tuple(map(str, session.metadata.get("classes") or ())),
            samples=session.metadata["samples"] if session.stochastic else 0,
            calibrated=session.calibration is not None,
        )


def instructions(network: Network, target: Target, library: str, lacks: str) -> dict[str, str]:
    """README.md of a bundle, and its program in Python, by the names of their files.

    `library` and `lacks` are as of `readme`.
    """
    values = {
        "version": __version__,
        "target": target.name,
        "file": network.file,
        "stem": Path(network.file).stem,
        "task": network.task,
        "samples": str(network.samples),
        "class_count": str(len(network.classes)),
        "runtime": library,
        "lacks": lacks,
        "inputs_table": _table(network.inputs),
        "outputs_table": _table(network.outputs),
        "normalisation": _normalisation(network),
        "python_normal": _python_normal(network),
        "python_feeds": ", ".join(
            f"{escape.python(n.name)}: x{i}" for i, n in enumerate(network.inputs)
        ),
        "python_names": ", ".join(escape.python(node.name) for node in network.outputs),
        "c_files": " ".join(f"x{index}.raw" for index in range(len(network.inputs))),
    }
    conditions = {
        "c": not lacks,
        "no_c": bool(lacks),
        "noise": network.samples > 0,
        "classes": bool(network.classes),
        "calibrated": network.calibrated,
    }
    templates = {"README.md": "network.md", "run.py": "run.py.in"}
    return {name: fill(template, values, conditions) for name, template in templates.items()}


def _table(nodes: Sequence[TensorInfo]) -> str:
    rows = ["| name | type | shape | |", "|---|---|---|---|"]
    for node in nodes:
        shape = ", ".join(["N", *("?" if n is None else str(n) for n in node.shape[1:])])
        name = escape.markdown_cell(escape.name(node.name))
        rows.append(f"| {name} | {node.dtype} | [{shape}] | {_MEANT.get(node.name, '')} |")
    return "\n".join(rows)


def _normalisation(network: Network) -> str:
    first, said = network.inputs[0], network.preprocess
    name = escape.markdown_code(escape.name(first.name))
    if said is None:
        return "The model does not say how its input is normalised: give it what it was trained on."
    if first.dtype == "uint8":
        return f"{name} takes pixels, 0 to {_pixel_max(said)}, as they are."
    mean, std = (", ".join(map(repr, values)) for values in (said.mean, said.std))
    reversed_channels = isinstance(said, Preprocess) and said.order == "bgr"
    order = " Its channels are blue, green and red." if reversed_channels else ""
    what = "number" if isinstance(said, Standardize) else f"pixel / {said.pixel_max}"
    return (
        f"{name} takes `({what} - mean) / std`, where the first axis behind N has the mean"
        f" [{mean}] and the std [{std}].{order}"
    )


def _pixel_max(said: Preprocess | Standardize) -> int:
    return said.pixel_max if isinstance(said, Preprocess) else 255


def _python_normal(network: Network) -> str:
    """Lines that make x0, x1, … of what the user has."""
    lines = []
    for index, node in enumerate(network.inputs):
        shape = ", ".join(map(str, (1, *node.shape[1:])))
        name = escape.comment(escape.name(node.name))
        lines.append(f"x{index} = np.zeros(({shape}), np.{node.dtype})  # yours: {name}")
    said, first = network.preprocess, network.inputs[0]
    if said is not None and first.dtype == "float32":
        each = ", ".join(["1", "-1", *["1"] * (len(first.shape) - 2)])
        mean, std = (", ".join(map(repr, values)) for values in (said.mean, said.std))
        if isinstance(said, Preprocess):
            lines.append(f"x0 = x0 / np.float32({said.pixel_max})")
        lines.append(f"mean = np.float32([{mean}]).reshape({each})")
        lines.append(f"x0 = (x0 - mean) / np.float32([{std}]).reshape({each})")
    return "\n".join(lines)
