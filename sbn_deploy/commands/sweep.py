"""`sbn sweep`: every form of a checkpoint, measured, and which one to ship."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import new_parser, say, share, show_json, show_table

if TYPE_CHECKING:
    from sbn_deploy.sweep import Answer, Candidate

    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "sweep",
        description="Exports a checkpoint in every form that a TOML file names (thresholded,"
        " sampled members, drawn signs, both), measures accuracy and latency of each on this"
        " machine, writes a report, and says which form to ship. Interrupted, it goes on where it"
        " was; finished, it answers at once.",
        example="sbn sweep digits.toml --out runs/sweep --budget-ms 0.5\n\n"
        'digits.toml:\n  checkpoint = "runs/digits/checkpoint.safetensors"\n  data = "digits"\n'
        "  members = [1, 2, 4, 8]\n  samples = [1, 2, 4, 8]\n  threads = [1]\n"
        "  # twin, images, weights, activations, seed, engines, batch, runs: see docs/measuring.md",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="what to try")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for all files (default: runs/sweep-CONFIG)"
    )
    parser.add_argument(
        "--data", metavar="SET", help="test images instead of those that the file names"
    )
    parser.add_argument(
        "--budget-ms",
        type=_milliseconds,
        metavar="MS",
        help="answer: the most accurate form whose call on one image takes no longer",
    )
    parser.add_argument(
        "--min-accuracy",
        type=share,
        metavar="A",
        help="answer: the fastest form with at least this accuracy, 0 to 1",
    )


def run(options: argparse.Namespace) -> int:
    """Sweeps, and answers."""
    from sbn_deploy.sweep import Sweep, answer, front, load
    from sbn_deploy.sweep.steps import REPORT

    folder = options.out or Path("runs") / f"sweep-{options.config.stem}"
    sweep = Sweep(load(options.config, data=options.data), folder)
    sweep.run(say)
    found = sweep.candidates()
    best = front(found)
    reply = answer(found, budget_ms=options.budget_ms, min_accuracy=options.min_accuracy)
    if options.json:
        show_json({"candidates": found, "front": best, "answer": reply})
    else:
        _show(best)
        print(f"\n{_sentence(reply, options)}")
    say(f"written: {folder / REPORT}")
    return 0 if reply.best else 1


def _show(best: list[Candidate]) -> None:
    """The models that no other beats in both accuracy and time."""
    show_table(
        ("model", "engine", "threads", "accuracy", "95 % interval", "median ms", "file kB"),
        [
            (
                one.model,
                one.engine,
                one.threads,
                f"{one.accuracy:.2%}",
                f"{one.low:.2%} to {one.high:.2%}",
                f"{one.p50_ms:.4f}",
                round(one.file_bytes / 1000),
            )
            for one in best
        ],
    )


def _sentence(reply: Answer, options: argparse.Namespace) -> str:
    wish = " and ".join(
        text
        for text, wanted in (
            (f"within {options.budget_ms} ms", options.budget_ms is not None),
            (f"with at least {options.min_accuracy or 0:.2%}", options.min_accuracy is not None),
        )
        if wanted
    )
    if reply.best is None:
        assert reply.closest is not None
        return f"nothing is {wish}; the closest: {_name(reply.closest)}"
    sentence = f"ship {_name(reply.best)}" + (f", {wish}" if wish else "")
    if reply.faster is not None:
        sentence += f"\non these images no worse for certain, and faster: {_name(reply.faster)}"
    return sentence


def _name(one: Candidate) -> str:
    threads = f", {one.threads} threads" if one.threads > 1 else ""
    engine = "" if one.engine == "sbn" else f" in {one.engine}"
    return f"{one.model}{engine}{threads}: {one.accuracy:.2%}, {one.p50_ms:.3f} ms"


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds above 0")
    return value
