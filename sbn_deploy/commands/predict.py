"""`sbn predict`: answers to images and arrays."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .common import add_noise_options, at_least, new_parser, share, show_json, show_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sbn_runtime import Prediction, Session

    from .common import Subparsers

MOST_SAMPLES = 32
FIGURES = ("entropy", "mutual_information", "agreement")
REJECTED = "rejected"


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "predict",
        description="Says what a model answers: the class of an image or, by the model's task,"
        " labels, numbers, or a summary of the map or image. PNG and JPEG files are converted to"
        " the model's size, colours and pixel range. A .npy file holds uint8 images [H, W, C] or"
        " [N, H, W, C] in the model's pixel range, or normalised float32 input, such as"
        " [N, C, H, W]; for a model that was trained on numbers, numbers as its data has them.",
        example="sbn predict digits.onnx seven.png batch.npy --uncertainty --min-confidence 0.9",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="PNG, JPEG or .npy")
    parser.add_argument(
        "--top", type=at_least(1), default=3, metavar="K", help="classes to name (default: 3)"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="say how sure: entropy of the averaged probabilities, mutual information (the part"
        " that comes from members and samples contradicting each other; both in nats), and the"
        " share of them that agree with the answer",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        metavar="P",
        help=f"reject images whose best class is less probable: the class is {REJECTED!r}, in"
        " JSON null",
    )
    add_noise_options(parser)
    parser.add_argument(
        "--until",
        type=share,
        metavar="CONFIDENCE",
        help="take noise samples of each image only until more, up to --samples"
        f" (default: {MOST_SAMPLES}), would not change its class at this confidence, as 0.99",
    )
    parser.add_argument(
        "--threads", type=at_least(1), metavar="T", help="threads (default: one for each core)"
    )


def run(options: argparse.Namespace) -> int:
    """Answers every input in every file."""
    from sbn_runtime import Session

    session = Session(options.model, threads=options.threads)
    return (_classify if session.task == "classification" else _answer_all)(session, options)


def _answer_all(session: Session, options: argparse.Namespace) -> int:
    """What a model with another task than classification answers."""
    from sbn_runtime import InputError

    from .images import read_input
    from .predict_answers import SHOWN

    for option, value in (("--min-confidence", options.min_confidence), ("--until", options.until)):
        if value is not None:
            raise InputError(f"{option} chooses between classes; the task here is {session.task}")
    records: list[dict[str, Any]] = []
    classes = session.metadata.get("classes", ())
    for file in options.files:
        x = read_input(file, session)
        try:
            answer = session.predict(
                x, return_uncertainty=True, samples=options.samples, seed=options.seed
            )
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        record = SHOWN[session.task].record
        records += [
            {
                "file": file,
                "index": index,
                **record(answer, index, classes, options.top, options.uncertainty),
            }
            for index in range(len(x))
        ]
    if options.json:
        show_json(records)
    else:
        shown = SHOWN[session.task]
        figures = [name for name in FIGURES if name in records[0]]
        show_table(
            ("file", "index", *shown.columns, *(_words(name) for name in figures)),
            [
                [row["file"], row["index"], *shown.cells(row), *(row[name] for name in figures)]
                for row in records
            ],
        )
    return 0


def _classify(session: Session, options: argparse.Namespace) -> int:
    """The classes of every image of every file."""
    from sbn_runtime import InputError

    from .images import read_input

    answers: list[dict[str, Any]] = []
    for file in options.files:
        x = read_input(file, session)
        try:
            prediction = _predict(session, x, options)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        classes = session.metadata.get("classes", ())
        answers += [
            {"file": file, "index": index, **_answer(prediction, index, classes, options)}
            for index in range(len(prediction.label))
        ]
    if options.json:
        show_json(answers)
    else:
        figures = [name for name in (*FIGURES, "samples_used") if name in answers[0]]
        show_table(
            ("file", "index", "class", "probability", "next", *(_words(name) for name in figures)),
            [_cells(answer, figures) for answer in answers],
        )
    return 0


def _predict(session: Session, x: NDArray[Any], options: argparse.Namespace) -> Prediction:
    draw = {"seed": options.seed}
    if options.until is None:
        found = session.predict(x, return_uncertainty=True, samples=options.samples, **draw)
        return cast("Prediction", found)
    most = MOST_SAMPLES if options.samples is None else options.samples
    return session.predict_until(x, confidence=options.until, max_samples=most, **draw)


def _answer(
    prediction: Prediction, index: int, classes: Any, options: argparse.Namespace
) -> dict[str, Any]:
    answer: dict[str, Any] = {"top": _top(prediction.probabilities[index], options.top, classes)}
    if options.min_confidence is not None:
        best = answer["top"][0]
        accepted = best["probability"] >= options.min_confidence
        answer["class"] = best["class"] if accepted else None
    names = FIGURES if options.uncertainty else ()
    for name in (*names, *(["samples_used"] if options.until is not None else [])):
        answer[name] = getattr(prediction, name)[index].item()
    return answer


def _cells(answer: dict[str, Any], figures: list[str]) -> list[object]:
    best, *others = answer["top"]
    following = ", ".join(f"{entry['class']} {entry['probability']:.1%}" for entry in others)
    name = answer.get("class", best["class"]) or REJECTED
    shown = [
        f"{answer[figure]:.1%}" if figure == "agreement" else answer[figure] for figure in figures
    ]
    probability = f"{best['probability']:.1%}"
    return [answer["file"], answer["index"], name, probability, following, *shown]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _top(probabilities: Any, count: int, classes: Any) -> list[dict[str, Any]]:
    best = probabilities.argsort()[::-1][:count]
    return [
        {
            "class": classes[label] if label < len(classes) else str(label),
            "probability": float(probabilities[label]),
        }
        for label in best
    ]
