"""`sbn predict`: answers to images and arrays."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import (
    add_engine_option,
    add_noise_options,
    at_least,
    new_parser,
    share,
    show_json,
    show_table,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbn_runtime import Estimate, Interval, Prediction, PredictionSet, Session

    from .common import Subparsers

MOST_SAMPLES = 32
REJECTED, UNKNOWN = "rejected", "unknown"
SETS = ("lac", "aps", "raps", "class-conditional")


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "predict",
        description="Prints a model's answers: the class of an image or, depending on the task,"
        " labels, numbers, or a summary of the map or image. PNG and JPEG files are converted to"
        " the model's size, colours and pixel range. A .npy file holds uint8 images [H, W, C] or"
        " [N, H, W, C] in the model's pixel range, or normalised float32 input, such as"
        " [N, C, H, W]; for a model trained on numbers, numbers as in its data. A .csv file holds a"
        " row of features for each answer; a header names them. With -o, a classifier answers any"
        " number of pictures: in folders with all in them, patterns, parquet files with encoded"
        " images, tar archives, and .npz files of uint8 images. All cores work, a picture that"
        " cannot be read is a row with the reason, and the same command resumes an interrupted"
        " run.",
        example="sbn predict digits.onnx seven.png batch.npy --uncertainty --min-confidence 0.9\n"
        "  sbn predict fruit.onnx photos shards/*.tar -o answers.parquet",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="PNG, JPEG, .csv or .npy; with -o a picture, a folder, a pattern, .parquet, .tar or"
        " .npz",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.parquet",
        help="write the answers to a file; until it is finished, they are saved in"
        " FILE.parquet.parts",
    )
    parser.add_argument(
        "--processes",
        type=at_least(1),
        metavar="P",
        help="with -o: processes that classify (default: one for each core)",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="HOST:PORT",
        help="with -o: classify on the Ray cluster with this address (default: that of RAY_ADDRESS,"
        " or the one that this machine is in); all nodes must see model and pictures at the same"
        " path",
    )
    parser.add_argument(
        "--top", type=at_least(1), default=3, metavar="K", help="classes to name (default: 3)"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="show the uncertainty: entropy of the averaged probabilities, mutual information"
        " (the part due to disagreement between members and samples; both in nats), and the"
        " share of them that agree with the answer",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        metavar="P",
        help=f"reject images whose best class is less probable: the class is {REJECTED!r}, in"
        " JSON null",
    )
    parser.add_argument(
        "--coverage",
        type=share,
        metavar="C",
        help="for a calibrated model: show the set of classes, or the interval, that contains"
        " the true one with this probability, such as 0.9",
    )
    parser.add_argument(
        "--sets",
        choices=SETS,
        help="with --coverage: how sets are made (default: lac, the smallest sets)",
    )
    parser.add_argument(
        "--reject-unknown",
        type=share,
        metavar="SHARE",
        help="for a calibrated model: give no class to images unlike those it was calibrated on;"
        " this share of ordinary images is refused as well, such as 0.05: {UNKNOWN!r}, in"
        " JSON null",
    )
    add_noise_options(parser)
    parser.add_argument(
        "--until",
        type=share,
        metavar="CONFIDENCE",
        help="for each image, stop sampling noise as soon as more samples, up to --samples"
        " (default: {MOST_SAMPLES}), would not change its class with this confidence, such as 0.99",
    )
    add_engine_option(parser)
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="T",
        help="threads (default: one for each core; engine native has one); with -o, of each"
        " process (default: 1)",
    )


def run(options: argparse.Namespace) -> int:
    """Answers every input in every file."""
    from sbn_runtime import InputError, Session

    from .images import read_input
    from .predict_answers import FIGURES, SHOWN, set_cell, set_record

    if options.output is not None:
        from . import predict_many

        return predict_many.run(options)
    for name in ("processes", "ray"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} needs -o, as in -o answers.parquet")
    for name in ("coverage", "reject_unknown"):
        if options.until is not None and getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} and --until exclude each other")
    if options.sets is not None and options.coverage is None:
        raise InputError("--sets needs --coverage, as 0.9")
    session = Session(options.model, engine=options.engine, threads=options.threads)
    if session.task != "classification":
        for name in ("min_confidence", "until"):
            if getattr(options, name) is not None:
                raise InputError(
                    f"--{name.replace('_', '-')} is for classes; the task here is {session.task}"
                )
    records: list[dict[str, Any]] = []
    classes = session.metadata.get("classes", ())
    for file in options.files:
        x = read_input(file, session)
        try:
            answer = _predict(session, x, options)
            sets = _sets(session, x, options)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        shown = SHOWN[session.task]
        records += [
            {
                "file": file,
                "index": index,
                **shown.record(answer, index, classes, options),
                **set_record(sets, index, classes),
            }
            for index in range(len(x))
        ]
    if options.json:
        show_json(records)
        return 0
    figures = [name for name in FIGURES if name in records[0]]
    title = [] if options.coverage is None else [f"true at {100 * options.coverage:g} %"]
    show_table(
        ("file", "index", *shown.columns, *title, *(n.replace("_", " ") for n in figures)),
        [
            [
                *(row["file"], row["index"], *shown.cells(row)),
                *([set_cell(row)] if title else []),
                *(f"{row[n]:.1%}" if n == "agreement" else row[n] for n in figures),
            ]
            for row in records
        ],
    )
    return 0


def _predict(
    session: Session, x: NDArray[Any], options: argparse.Namespace
) -> Prediction | Estimate:
    if options.until is None:
        return session.predict(
            x,
            return_uncertainty=True,
            reject=options.reject_unknown,
            samples=options.samples,
            seed=options.seed,
        )
    most = MOST_SAMPLES if options.samples is None else options.samples
    return session.predict_until(x, confidence=options.until, max_samples=most, seed=options.seed)


def _sets(
    session: Session, x: NDArray[Any], options: argparse.Namespace
) -> PredictionSet | Interval | None:
    """What holds the truth at the coverage, if one was asked for."""
    if options.coverage is None:
        return None
    return session.predict_set(
        x,
        coverage=options.coverage,
        method=options.sets or SETS[0],
        samples=options.samples,
        seed=options.seed,
    )
