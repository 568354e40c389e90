"""`sbn demo`: the whole way, from handwritten digits to a comparison with fp32."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_runtime.files import write_atomically

from .common import at_least, new_parser, say, show_json, show_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sbn_deploy.data import Dataset

    from .common import Subparsers

WIDTH = 64
MEMBERS = 8
SAMPLES = 8
THROUGHPUT_BATCH = 64
STEPS = 6
REPORT = "report.html"
COLUMNS = ("model", "test accuracy", "file size", "p50 ms", "p90 ms", "images/s")


@dataclass(frozen=True)
class Row:
    """One model of the comparison.

    `p50_ms` and `p90_ms` are of one image on one thread, `images_per_s` of THROUGHPUT_BATCH
    images on one thread; `low` and `high` bound the accuracy at 95 %.
    """

    model: str
    accuracy: float
    low: float
    high: float
    file_bytes: int
    p50_ms: float
    p90_ms: float
    images_per_s: float

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `COLUMNS`."""
        return (
            self.model,
            f"{self.accuracy:.2%}",
            f"{self.file_bytes / 1000:,.0f} kB",
            f"{self.p50_ms:.3f}",
            f"{self.p90_ms:.3f}",
            f"{self.images_per_s:,.0f}",
        )


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "demo",
        description="Trains a stochastic binary network and its fp32 twin on handwritten digits,"
        " exports, validates, and compares accuracy, size and speed.",
        example="sbn demo --out runs/demo",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="DIR",
        help="where everything is written (default: runs/demo)",
    )
    parser.add_argument(
        "--epochs", type=at_least(1), default=75, metavar="N", help="of training (default: 75)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="(default: 0)")


def run(options: argparse.Namespace) -> int:
    """Does all steps; returns 1 when an exported file disagrees with torch."""
    from sbn_deploy import data
    from sbn_deploy.benchmark import float_baselines
    from sbn_deploy.export import export_checkpoint
    from sbn_deploy.machine.describe import describe
    from sbn_deploy.materialize import Form
    from sbn_deploy.train import checkpoint
    from sbn_deploy.train.loop import TrainConfig, train
    from sbn_deploy.validate import validate

    folder: Path = options.out
    images = data.load("digits", "train+validation")
    test = data.load("digits", "test")

    common: dict[str, Any] = {
        "arch": "digits-cnn",
        "data": "digits",
        "model": {"width": WIDTH},
        "epochs": options.epochs,
        "seed": options.seed,
    }

    def trained(name: str, **said: Any) -> Path:
        config = TrainConfig(out=folder / name, **common, **said)
        return train(config, overwrite=True).checkpoint_path

    _heading(
        1,
        "Train a stochastic binary network",
        f"{len(images)} handwritten digits of 8×8 pixels. Every weight is a probability of being"
        " +1 or -1;\nevery activation is the sign of a noisy sum. Mirror descent moves the"
        " probabilities.",
    )
    # At the end without noise, like the thresholded network.
    binary = trained("sbn", deterministic_epochs=options.epochs // 5)
    _heading(
        2,
        "Train its fp32 twin",
        "The same layers with real weights and rectified linear units, to compare with.",
    )
    twin = trained("fp32", twin=True)

    _heading(
        3,
        "Export",
        "Threshold each probability to one network of signs, sample an ensemble of"
        f" {MEMBERS} from them, or\nkeep the noise and average {SAMPLES} samples at run time."
        " Batch-norm and sign become integer\nthresholds, 64 weights share a word. The twin goes"
        " to onnxruntime as float32, and quantised to 8 bits.",
    )
    files = {
        "fp32 twin": folder / "digits-fp32.onnx",
        "int8 twin": folder / "digits-int8.onnx",
        "SBN thresholded": folder / "digits-threshold.onnx",
        f"SBN ensemble of {MEMBERS}": folder / f"digits-ensemble{MEMBERS}.onnx",
        f"SBN noise, {SAMPLES} samples": folder / f"digits-noise{SAMPLES}.onnx",
    }
    fp32, int8, threshold, ensemble, noisy = files.values()
    float_baselines.export_fp32(checkpoint.load(twin)[0], images.input_shape, fp32)
    float_baselines.quantise_int8(fp32, int8, images.inputs()[:256])
    export_checkpoint(binary, threshold)
    export_checkpoint(binary, ensemble, Form("sample", MEMBERS, options.seed))
    stochastic = Form(activations="stochastic", samples=SAMPLES, noise_seed=options.seed)
    export_checkpoint(binary, noisy, stochastic)
    for file in files.values():
        say(f"{file}  {file.stat().st_size / 1000:,.0f} kB")

    _heading(
        4,
        "Validate",
        "torch, our kernels with every instruction set of this CPU, stock onnxruntime and onnx's"
        "\nreference must agree: every bit between binary layers, and every label.",
    )
    for file in (threshold, ensemble, noisy):
        validation = validate(file, binary, count=16, seed=options.seed)
        for result in validation.results:
            verdict = (
                f"all {result.compared_bits:,} bits agree"
                if result.ok
                else f"{result.differing_bits:,} bits differ, first at {result.first_layer}"
            )
            say(f"{file.name}  {result.engine}: {verdict}")
        if not validation.ok:
            say("stopping: an engine disagrees with torch")
            return 1

    _heading(
        5,
        "Measure",
        f"Accuracy on {len(test)} digits that training has not seen. Latency of one digit on one"
        " thread,\nthe models in turns.",
    )
    rows = _measure(files, folder)
    machine = asdict(describe())
    machine |= machine.pop("state")
    settings = {"seed": options.seed, "epochs": options.epochs, "data": "digits"}
    text = folder / "report.md"
    write_atomically(text, _markdown(rows, machine).encode())

    _heading(6, "The hardest digits", "Those with the lowest confidence of the ensemble.")
    _show_hardest(ensemble, test)

    say("")
    if options.json:
        show_json({"rows": rows, "machine": machine, "settings": settings})
    else:
        show_table(COLUMNS, [row.cells() for row in rows])
    say(f"\nopen {folder / REPORT}; the table is in {text} too")
    return 0


def _measure(files: dict[str, Path], folder: Path) -> list[Row]:
    """Measures with the verbs that a user would, which write the report too."""
    from sbn_deploy.records.benchmark import Benchmark
    from sbn_deploy.records.evaluation import Evaluation
    from sbn_deploy.records.files import load
    from sbn_deploy.verbs import command_line, run_verb

    def sbn(verb: str, *arguments: str | Path) -> None:
        words = [verb, *map(str, arguments)]
        say(f"$ {command_line(*words)}")
        run_verb(*words, quiet=verb != "benchmark")

    measured = folder / "measured"
    measured.mkdir(exist_ok=True)
    speed, layers = measured / "speed.json", measured / "layers.json"
    scored = {name: measured / f"{file.stem}.json" for name, file in files.items()}
    for name, file in files.items():
        sbn("evaluate", file, "--data", "digits", "-o", scored[name])
    # Times are compared with those of the first.
    models = sorted(
        files.values(), key=lambda file: file in (files["fp32 twin"], files["int8 twin"])
    )
    batches = f"1,{THROUGHPUT_BATCH}"
    sbn("benchmark", *models, "--batch", batches, "--max-seconds", "40", "-o", speed)
    sbn("profile", models[0], "-o", layers)
    sbn("report", speed, *scored.values(), layers, "-o", folder / REPORT)

    timed = load(speed)
    assert isinstance(timed, Benchmark)
    times = {(timing.model, timing.batch): timing for timing in timed.results}
    rows = []
    for name, file in files.items():
        evaluation = load(scored[name])
        assert isinstance(evaluation, Evaluation)
        scores, one = evaluation.scores, times[file.stem, 1]
        rows.append(
            Row(
                model=name,
                accuracy=scores.accuracy,
                low=scores.confidence_low,
                high=scores.confidence_high,
                file_bytes=file.stat().st_size,
                p50_ms=one.p50_ms,
                p90_ms=one.p90_ms or one.p50_ms,
                images_per_s=times[file.stem, THROUGHPUT_BATCH].images_per_s or 0.0,
            )
        )
    return rows


def _markdown(rows: Sequence[Row], machine: Mapping[str, Any]) -> str:
    return "\n".join(
        (
            "# Stochastic binary network and fp32 twin on digits",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|---" + "|---:" * (len(COLUMNS) - 1) + "|",
            *("| " + " | ".join(row.cells()) + " |" for row in rows),
            "",
            f"Times are of one image on one thread, images/s of {THROUGHPUT_BATCH} at once on one"
            f" thread. [{REPORT}]({REPORT}) has accuracy against latency as a plot, and the rest.",
            "",
            "## Machine",
            "",
            *(
                f"- {name}: {', '.join(value) if isinstance(value, list) else value}"
                for name, value in machine.items()
                if value is not None
            ),
            "",
        )
    )


def _show_hardest(model: Path, test: Dataset) -> None:
    from sbn_runtime import Session

    probabilities = Session(model, threads=1).predict_proba(test.inputs())
    hardest = probabilities.max(axis=1).argsort()[:5]
    drawn = [_draw(test.images[index]) for index in hardest]
    for line in zip(*drawn, strict=True):
        say("   ".join(line))
    captions = [
        f"{test.classes[probabilities[index].argmax()]}? {probabilities[index].max():.0%},"
        f" is {test.classes[test.labels[index]]}"
        for index in hardest
    ]
    say("   ".join(caption.ljust(len(drawn[0][0])) for caption in captions))


def _draw(image: NDArray[np.uint8]) -> list[str]:
    """An 8×8 image as text, two characters for each pixel."""
    shades = " ░▒▓█"
    return ["".join(shades[int(pixel) // 4] * 2 for pixel in row) for row in image[:, :, 0]]


def _heading(number: int, title: str, why: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stderr.isatty() else ("", "")
    say(f"\n{bold}{number}/{STEPS} {title}{plain}\n{why}\n")
