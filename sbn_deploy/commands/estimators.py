"""`sbn estimators`: how far gradient estimators are from the true gradient."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbn_deploy.estimators.study import Score
    from sbn_deploy.estimators.training import Moment

    from .common import Subparsers

SWEEPS = ("width", "depth", "noise", "loss")
TASKS = ("digits", "teacher")
DIGITS_NET = (64, 8, 6, 10)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "estimators",
        description="Compares estimators of the gradient of stochastic binary networks with the"
        " true gradient: bias, variance, cosine and error by layer, and what they depend on. Ends"
        " with an answer to: which estimator for my net? Networks with up to 9 units a hidden"
        " layer have an exact gradient; wider ones are compared with many unbiased samples.",
        example="sbn estimators --net 6-5-4-1 --plot figures",
    )
    parser.add_argument(
        "--net",
        type=_dims,
        metavar="DIMS",
        help="inputs, hidden units and outputs (default: 6-5-4-1, for digits 64-8-6-10)",
    )
    parser.add_argument(
        "--noise", default="logistic", help="noise of the units (default: %(default)s)"
    )
    parser.add_argument("--loss", help="logistic, linear, squared, hinge or softmax")
    parser.add_argument(
        "--gain",
        type=_positive,
        default=1.0,
        metavar="G",
        help="spread of the preactivations of random networks (default: 1)",
    )
    parser.add_argument(
        "--estimators",
        type=lambda text: tuple(dict.fromkeys(text.split(","))),
        metavar="LIST",
        help="those to compare, by comma (default: all)",
    )
    parser.add_argument(
        "--by",
        type=_sweeps,
        default=SWEEPS,
        metavar="LIST",
        help=f"what to vary: of {', '.join(SWEEPS)}, or none (default: all)",
    )
    parser.add_argument(
        "--along",
        choices=TASKS,
        metavar="TASK",
        help="measure one network while it is trained, on the digits or on the answers of a random"
        " teacher network, instead of random networks",
    )
    numbers = (
        ("--average", 1, 100, "estimates that an update averages over, which the answer assumes"),
        ("--networks", 1, 20, "random networks; figures are medians over them"),
        ("--samples", 2, 10_000, "samples of an estimator that cannot be enumerated"),
        ("--reference-samples", 2, 200_000, "samples of the reference for wide networks"),
        ("--seed", 0, 0, "random seed"),
    )
    for name, minimum, default, text in numbers:
        parser.add_argument(
            name,
            type=at_least(minimum),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    parser.add_argument(
        "--temperature",
        type=_positive,
        default=0.5,
        metavar="T",
        help="temperature of Gumbel-softmax (default: 0.5)",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write figures to this folder")


def run(options: argparse.Namespace) -> int:
    """Measures, and shows figures and the answer."""
    import torch

    # The tensors are small: a second thread costs more than it brings.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(options)
    finally:
        torch.set_num_threads(threads)


def _run(options: argparse.Namespace) -> int:
    from sbn_deploy import estimators as registry
    from sbn_deploy.estimators import study, training
    from sbn_deploy.estimators.advice import advise
    from sbn_deploy.train.progress import progress
    from sbn_runtime.files import check_writable

    digits = options.along == "digits"
    setting = study.Setting(
        dims=options.net or (DIGITS_NET if digits else study.Setting.dims),
        noise=options.noise,
        loss=options.loss or ("softmax" if digits else study.Setting.loss),
        gain=options.gain,
    )
    task = None
    if options.along:
        task = training.get_task(options.along, setting.dims, options.seed)
    setting.problem(options.seed)  # Refuses a bad setting before any work.
    if options.plot:
        check_writable(options.plot)
    estimators = registry.create(options.estimators or registry.names(), options.temperature)
    budget = study.Budget(
        networks=options.networks,
        samples=options.samples,
        reference=options.reference_samples,
        seed=options.seed,
    )
    sweeps: dict[str, list[tuple[str, study.Result]]] = {}
    moments: list[Moment] = []
    if task:
        with progress(f"training on {options.along}", len(training.STEPS)) as report:
            moments = training.along(task, setting, estimators, budget, report=report)
        result = study.Result(setting, moments[-1].scores, moments[-1].reference)
    else:
        chosen = {by: study.sweep(by, setting) for by in options.by}
        with progress("settings", 1 + sum(map(len, chosen.values()))) as report:
            result = study.run(setting, estimators, budget)
            report("")
            for by, settings in chosen.items():
                sweeps[by] = []
                for value, other in settings:
                    sweeps[by].append((value, study.run(other, estimators, budget)))
                    report(f"{by} {value}")
    answer = advise(result, estimators, options.average, sweeps=sweeps, moments=moments)
    if options.plot:
        from sbn_deploy.estimators.plots import draw

        for path in draw(options.plot, result, sweeps=sweeps, moments=moments):
            say(f"wrote {path}")
    if options.json:
        show_json(
            {
                "result": result,
                "sweeps": {
                    by: [{"value": value, "result": found} for value, found in values]
                    for by, values in sweeps.items()
                },
                "training": moments,
                "sources": {estimator.name: estimator.source for estimator in estimators},
                "average": options.average,
                "answer": answer,
            }
        )
        return 0
    _show(result.scores, options.average)
    print(f"\nrelative to the gradient; ± is sampling error; reference: {result.reference}")
    for by, values in sweeps.items():
        print(f"\nby {by}: bias of the first layer / error of one estimate, hidden layers")
        show_table(
            ("estimator", *(value for value, _ in values)),
            [
                (name, *(_pair(found.score(name, "1"), found.score(name)) for _, found in values))
                for name in result.estimators
            ],
        )
    if moments:
        _show_training(moments, result.estimators)
    print("\nWhich estimator for my net?")
    for sentence in answer:
        print(f"- {sentence}")
    return 0


def _show(scores: Sequence[Score], average: int) -> None:
    columns = ("estimator", "layer", "bias", "±", "variance", "cosine", "error")
    show_table(
        (*columns, f"error of {average}"),
        [
            (
                s.estimator,
                s.layer,
                *(
                    round(figure, 3)
                    for figure in (s.bias, s.uncertainty, s.variance, s.cosine, s.error)
                ),
                round(s.error_of_mean(average), 3),
            )
            for s in scores
        ],
    )


def _show_training(moments: Sequence[Moment], estimators: Sequence[str]) -> None:
    from sbn_deploy.estimators.study import HIDDEN

    hidden = [{s.estimator: s for s in moment.scores if s.layer == HIDDEN} for moment in moments]
    steps = [str(moment.step) for moment in moments]
    print("\nby training step: bias / error of one estimate, hidden layers")
    rows = [
        [name, *(_pair(scores[name], scores[name]) for scores in hidden)] for name in estimators
    ]
    rows.append(["training loss", *(f"{moment.loss:.3f}" for moment in moments)])
    rows.append(["training accuracy", *(f"{moment.accuracy:.1%}" for moment in moments)])
    show_table(("estimator", *steps), rows)
    print("\nby training step: cosine between the mean estimate and the gradient, hidden layers")
    rows = [[name, *(f"{scores[name].cosine:.3f}" for scores in hidden)] for name in estimators]
    show_table(("estimator", *steps), rows)


def _pair(first: Score, second: Score) -> str:
    return f"{first.bias:.2f} / {second.error:.2f}"


def _dims(text: str) -> tuple[int, ...]:
    try:
        dims = tuple(int(part) for part in text.split("-"))
    except ValueError:
        dims = ()
    if len(dims) < 3 or min(dims) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not like 6-5-4-1: inputs, units of hidden layers, outputs"
        )
    return dims


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _sweeps(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in SWEEPS:
            raise argparse.ArgumentTypeError(
                f"unknown sweep {name!r}; choose one of {', '.join(SWEEPS)}"
            )
    return names
