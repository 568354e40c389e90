"""`sbn sweep`: every form of a checkpoint, measured, and which one to ship."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_deploy.engines.table import SBN

from .common import new_parser, say, share, show_json, show_table
from .remote_options import (
    add_remote_options,
    check_complete,
    remote_devices,
    remote_words,
)

if TYPE_CHECKING:
    from sbn_deploy.records.sweep import Candidate, Limits
    from sbn_deploy.report.content import Point
    from sbn_deploy.report.decide import Decision

    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "sweep",
        description="Exports a checkpoint in every form listed in a TOML file (thresholded,"
        " sampled members, stochastic signs, both), measures accuracy and latency of each on this"
        " machine, or latency on devices with --remote, writes a report, and recommends one"
        " form, for each device. Run the same command to resume; a finished sweep answers at once.",
        example="sbn sweep digits.toml --out runs/sweep --budget-ms 0.5\n\n"
        'digits.toml:\n  checkpoint = "runs/digits/checkpoint.safetensors"\n  data = "digits"\n'
        "  members = [1, 2, 4, 8]\n  samples = [1, 2, 4, 8]\n  threads = [1]\n"
        "  # twin, images, weights, activations, seed, engines, batch, runs: see docs/measuring.md"
        "\n\nsbn sweep digits.toml --remote ssh://pi@raspberrypi.local --budget-ms 5",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="what to try")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for all files (default: runs/sweep-CONFIG)"
    )
    parser.add_argument(
        "--data", metavar="SET", help="test images to use instead of those in the file"
    )
    parser.add_argument(
        "--budget-ms",
        type=_milliseconds,
        metavar="MS",
        help="recommend the most accurate form whose call on one image takes no longer",
    )
    parser.add_argument(
        "--min-accuracy",
        type=share,
        metavar="A",
        help="recommend the fastest form with at least this accuracy, 0 to 1",
    )

    add_remote_options(parser)


def run(options: argparse.Namespace) -> int:
    """Sweeps, and answers."""
    from sbn_deploy.records.sweep import Limits
    from sbn_deploy.sweep import Sweep, load
    from sbn_deploy.sweep.steps import REPORT

    folder = options.out or Path("runs") / f"sweep-{options.config.stem}"
    devices = dict(zip(remote_devices(options), options.remote, strict=True))
    config = load(options.config, data=options.data)
    sweep = Sweep(config, folder, devices, remote_words(options))
    sweep.run(say)
    limits = Limits(budget_ms=options.budget_ms, min_accuracy=options.min_accuracy)
    found = sweep.answers(limits, say)
    answers = [answer for answer, _ in found.values()]
    if options.json:
        show_json(answers if len(devices) > 1 else answers[0])
    else:
        for place, (answer, decision) in found.items():
            if len(devices) > 1:
                print(f"\n{place}")
            _show([one for one in answer.candidates if one.on_front])
            print(f"\n{_sentence(decision, limits)}")
    say(f"written: {folder / REPORT}")
    check_complete(devices, found)
    return 0 if all(answer.ship for answer in answers) else 1


def _show(front: list[Candidate]) -> None:
    """The models that no other is both as fast and as accurate as, and better in one of the two."""
    show_table(
        ("model", "engine", "threads", "batch", "accuracy", "median ms"),
        [
            (
                one.model,
                one.engine,
                one.threads,
                one.batch,
                "-" if one.accuracy is None else f"{one.accuracy:.2%}",
                f"{one.p50_ms:.4f}",
            )
            for one in front
        ],
    )


def _sentence(decision: Decision, limits: Limits) -> str:
    from sbn_deploy.report.choose import wish

    asked = wish(limits)
    if decision.ship is None:
        assert decision.closest is not None
        return f"nothing is {asked}; the closest: {_name(decision.closest)}"
    sentence = f"ship {_name(decision.ship)}" + (f", {asked}" if asked else "")
    if decision.most_accurate not in (None, decision.ship):
        sentence += f"\nthe most accurate: {_name(decision.most_accurate)}"
    if decision.faster is not None:
        sentence += f"\nfaster, with no significant loss of accuracy: {_name(decision.faster)}"
    return sentence


def _name(point: Point) -> str:
    timing = point.timing
    threads = f", {timing.threads} threads" if timing.threads > 1 else ""
    engine = "" if timing.engine == SBN else f" in {timing.engine}"
    accuracy = "" if point.accuracy is None else f"{point.accuracy.value:.2%}, "
    return f"{point.model}{engine}{threads}: {accuracy}{timing.p50_ms:.3f} ms"


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds above 0")
    return value
