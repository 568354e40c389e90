"""Which estimator for my net? An answer in words, from measured figures only."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import numpy as np

from .base import Estimator
from .study import HIDDEN, Result, Score
from .training import Moment

NO_BETTER_THAN_ZERO = 1.0
"""The relative error of estimating every gradient as zero."""

Sweeps = Mapping[str, Sequence[tuple[str, Result]]]
"""By what was varied: its values and the result for each."""


def advise(
    result: Result,
    estimators: Sequence[Estimator],
    samples: int,
    *,
    sweeps: Sweeps | None = None,
    moments: Sequence[Moment] = (),
) -> list[str]:
    """Sentences that say which estimator to take, and what it depends on.

    Estimators are compared by the error of the mean of `samples` estimates, as many
    as one update of the weights averages over.

    Args:
        result: the scores to decide by.
        estimators: those that were measured.
        samples: estimates an update averages over, from 1 up.
        sweeps: results around `result`, for what the bias depends on.
        moments: a training run that ends in `result`.
    """
    ranked = sorted(estimators, key=lambda e: result.score(e.name).error_of_mean(samples))
    plain = next((e for e in ranked if not e.extra_cost), ranked[0])
    chosen = result.score(plain.name)
    answer = [
        f"Take {plain.name}: with {samples:,} estimates averaged in an update, the gradient of the"
        f" hidden layers is off by {chosen.error_of_mean(samples):.2f} of its length"
        f" (bias {_bias(chosen)}, cosine {chosen.cosine:.3f})"
        + (
            f", the least of those that cost one forward and one backward pass"
            f"{_runner_up(result, ranked, plain, samples)}."
            if not plain.extra_cost
            else f"; it costs {plain.extra_cost}."
        )
    ]
    best = ranked[0]
    if best is not plain:
        error = result.score(best.name).error_of_mean(samples)
        answer.append(
            f"{best.name} has a smaller error, {error:.2f}, and costs {best.extra_cost} more."
        )
    answer += _unbiased(result, ranked, chosen)
    answer.append(_where(result, plain.name))
    unbiased = next((e.name for e in ranked if e.unbiased), None)
    answer += [_varied(by, values, plain.name, unbiased) for by, values in (sweeps or {}).items()]
    candidates = [e.name for e in estimators if e.extra_cost == plain.extra_cost]
    answer += _trained(moments, plain.name, candidates, samples)
    useless = [
        score
        for score in (result.score(e.name) for e in ranked)
        if score.error_of_mean(samples) >= NO_BETTER_THAN_ZERO
    ]
    if useless:
        answer.append(
            "Further off than a gradient of zero would be: "
            + ", ".join(
                f"{s.estimator} (error {s.error_of_mean(samples):.2f}, cosine {s.cosine:.2f})"
                for s in useless
            )
            + "."
        )
    return answer


def break_even(biased: Score, unbiased: Score) -> float:
    """From how many averaged estimates the second has the smaller error; inf if never."""
    if unbiased.variance <= biased.variance:
        return 1.0
    advantage = biased.bias**2 - unbiased.bias**2
    # Equal to rounding: two exact estimators.
    if advantage < 1e-20:
        return math.inf
    return (unbiased.variance - biased.variance) / advantage


def _bias(score: Score) -> str:
    if score.bias < 2 * score.uncertainty:
        return f"not distinguishable from 0 within {score.uncertainty:.2f}"
    return f"{score.bias:.2f}"


def _runner_up(result: Result, ranked: Sequence[Estimator], chosen: Estimator, samples: int) -> str:
    other = next((e for e in ranked if e is not chosen and not e.extra_cost), None)
    if other is None:
        return ""
    error = result.score(other.name).error_of_mean(samples)
    return f" ({other.name} comes next with {error:.2f})"


def _unbiased(result: Result, ranked: Sequence[Estimator], chosen: Score) -> list[str]:
    unbiased = [result.score(e.name) for e in ranked if e.unbiased]
    unbiased = [score for score in unbiased if score.estimator != chosen.estimator]
    if not unbiased:
        return []
    rival = min(unbiased, key=lambda score: score.variance)
    count = break_even(chosen, rival)
    # Below, a variance is rounding error: the estimator is deterministic.
    noise = np.finfo(np.float64).eps * rival.variance
    ratio = rival.variance / chosen.variance if chosen.variance > noise else math.inf
    times = f"{ratio:.2g} times the" if math.isfinite(ratio) else "more"
    if math.isinf(count):
        return [f"{rival.estimator} is unbiased too but has {times} variance."]
    return [
        f"{rival.estimator}, the best of the unbiased ones, has {times} variance and is nearer"
        f" only from about {math.ceil(count):,} averaged estimates on."
    ]


def _where(result: Result, estimator: str) -> str:
    parts = [
        f"{_bias(result.score(estimator, layer))} in "
        + (f"layer {layer}" if layer.isdigit() else f"the {layer} layer")
        for layer in result.layers
        if layer != HIDDEN
    ]
    return f"By layer the bias of {estimator} is {', '.join(parts)}."


def _growth(values: Sequence[tuple[str, Result]], unbiased: str | None) -> str:
    if unbiased is None:
        return ""
    first, last = (result.score(unbiased).variance for _, result in (values[0], values[-1]))
    return f", while the variance of {unbiased} goes from {first:.2g} to {last:.2g}"


def _varied(
    by: str, values: Sequence[tuple[str, Result]], estimator: str, unbiased: str | None
) -> str:
    scores = {value: result.score(estimator, "1") for value, result in values}
    if by in ("width", "depth"):
        trend = ", ".join(f"{_bias(score)} at {value}" for value, score in scores.items())
        return f"By {by}, the first layer's bias is {trend}{_growth(values, unbiased)}."
    least = min(scores, key=lambda value: scores[value].bias)
    most = max(scores, key=lambda value: scores[value].bias)
    return (
        f"By {by}, the first layer's bias is least for {least}, {_bias(scores[least])},"
        f" and most for {most}, {_bias(scores[most])}."
    )


def _trained(
    moments: Sequence[Moment], chosen: str, candidates: Collection[str], samples: int
) -> list[str]:
    if len(moments) < 2:
        return []

    def hidden(moment: Moment) -> dict[str, Score]:
        return {s.estimator: s for s in moment.scores if s.layer == HIDDEN}

    def leader(moment: Moment) -> str:
        scores = hidden(moment)
        return min(candidates, key=lambda name: scores[name].error_of_mean(samples))

    first, last = (hidden(moment)[chosen] for moment in (moments[0], moments[-1]))
    changes = [
        (leader(after), after.step)
        for before, after in pairwise(moments)
        if leader(before) != leader(after)
    ]
    history = f"{leader(moments[0])} had the smallest error at first"
    history += "".join(f", {name} from step {step} on" for name, step in changes)
    return [
        f"In {moments[-1].step} training steps the bias of {chosen} went from {_bias(first)} to"
        f" {_bias(last)}, its cosine from {first.cosine:.2f} to {last.cosine:.2f}.",
        f"Of those that cost as much, {history}.",
    ]
