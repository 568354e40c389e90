"""Scores, sweeps, training runs and the answer drawn from them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sbn_deploy.estimators import create, exact_gradient, names, random_problem
from sbn_deploy.estimators.advice import advise, break_even
from sbn_deploy.estimators.moments import Moments, average
from sbn_deploy.estimators.study import (
    HIDDEN,
    SWEEPS,
    Budget,
    Result,
    Score,
    Setting,
    medians,
    reference,
    run,
    score,
    sweep,
)
from sbn_deploy.estimators.training import Task, along, get_task
from sbn_runtime.errors import ConfigError

QUICK = Budget(networks=2, samples=500, reference=1000)
SMALL = Setting(dims=(4, 3, 2, 1))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def moments(*values: float, variance: float = 0.0, samples: int | None = None) -> Moments:
    """Of a gradient with one number a layer; layers have no bias."""
    means = tuple(torch.tensor([[value, 0.0]], dtype=torch.float64) for value in values)
    return Moments(means, (variance,) * len(values), samples)


def made(estimator: str, *, bias: float, variance: float) -> list[Score]:
    """Scores of an imagined estimator in a net with one hidden layer."""
    error = math.sqrt(bias**2 + variance)
    hidden = Score(estimator, "1", bias, variance, 0.9, error, 0.0)
    output = Score(estimator, "output", 0.0, variance, 1.0, math.sqrt(variance), 0.0)
    return [hidden, output, replace(hidden, layer=HIDDEN)]


def test_score_of_known_moments() -> None:
    first, output, hidden = score(
        "it", moments(3.0, -1.0, variance=16.0), moments(4.0, 1.0, variance=0.0)
    )
    assert (first.layer, output.layer, hidden.layer) == ("1", "output", HIDDEN)
    assert first.bias == pytest.approx(1 / 4)
    assert first.variance == pytest.approx(1)
    assert first.cosine == pytest.approx(1)
    assert first.error == pytest.approx(math.sqrt(1 + 1 / 16))
    assert first.error_of_mean(100) == pytest.approx(math.sqrt(0.01 + 1 / 16))
    assert output.cosine == pytest.approx(-1)
    assert hidden.bias == pytest.approx(first.bias)
    assert first.uncertainty == 0


def test_score_takes_sampling_noise_off_the_bias() -> None:
    found = moments(4.0, 4.0, variance=16.0, samples=100)
    truth = moments(3.0, 3.0, variance=9.0, samples=100)
    first = score("it", found, truth)[0]
    assert first.uncertainty == pytest.approx(math.sqrt(0.25) / 3)
    assert first.bias == pytest.approx(math.sqrt(1 - 0.25) / 3)


def test_score_where_the_gradient_is_zero_is_absolute() -> None:
    first = score("it", moments(2.0, 2.0), moments(0.0, 0.0))[0]
    assert first.bias == 2
    assert first.cosine == 0


def test_average_of_examples_is_a_batch() -> None:
    """Of n draws each of two examples, the mean has a quarter of the summed variances over n."""
    parts = [moments(1.0, variance=2.0, samples=50), moments(3.0, variance=6.0, samples=50)]
    both = average(parts)
    assert float(both.mean[0][0, 0]) == 2
    assert both.variance == (4.0,)
    expected = sum(part.squared_error(0) for part in parts) / 4
    assert both.squared_error(0) == pytest.approx(expected)
    assert average([moments(1.0), moments(2.0)]).samples is None


def test_medians_are_of_each_figure() -> None:
    rounds = [made("it", bias=b, variance=v) for b, v in ((0.1, 3.0), (0.5, 1.0), (0.2, 2.0))]
    first = medians(rounds)[0]
    assert (first.bias, first.variance) == (0.2, 2.0)


def test_reference_of_small_networks_is_exact() -> None:
    problem = random_problem((4, 3, 1), seed=0)
    truth = reference([problem], 10, generator())
    assert truth.method == "enumeration"
    for mean, gradient in zip(truth.moments.mean, exact_gradient(problem), strict=True):
        assert torch.equal(mean, gradient)


def test_reference_of_wide_networks_is_sampled_and_agrees_with_a_wide_exact_one() -> None:
    """A unit that feeds nothing changes no gradient, but makes the net too wide to enumerate."""
    problem = random_problem((4, 3, 1), seed=0)
    network = problem.network
    idle = 10
    wide = replace(
        network,
        weights=(
            torch.cat([network.weights[0], torch.zeros(idle, 4, dtype=torch.float64)]),
            torch.cat([network.weights[1], torch.zeros(1, idle, dtype=torch.float64)], 1),
        ),
        biases=(
            torch.cat([network.biases[0], torch.zeros(idle, dtype=torch.float64)]),
            network.biases[1],
        ),
    )
    truth = reference([problem.with_network(wide)], 50_000, generator())
    assert "50000 samples" in truth.method
    exact = exact_gradient(problem)[0]
    distance = float((truth.moments.mean[0][:3] - exact).norm())
    assert distance < 6 * truth.moments.squared_error(0) ** 0.5


def test_run_is_reproducible_and_complete() -> None:
    estimators = create(names())
    first, second = (run(SMALL, estimators, QUICK) for _ in range(2))
    assert first == second
    assert first.estimators == names()
    assert first.layers == ("1", "2", "output", HIDDEN)
    for name in ("reinforce", "arm"):
        assert first.score(name).bias < 1e-12
    for found in first.scores:
        assert found.error == pytest.approx(math.hypot(found.bias, found.variance**0.5), rel=0.5)


@pytest.mark.parametrize("by", SWEEPS)
def test_sweeps_vary_one_thing(by: str) -> None:
    base = Setting(dims=(5, 4, 4, 2), gain=2.0)
    settings = sweep(by, base)
    assert len(settings) >= 4
    changed = "dims" if by in ("width", "depth") else by
    for value, setting in settings:
        assert replace(setting, **{changed: getattr(base, changed)}) == base
        assert (setting.dims[0], setting.dims[-1]) == (5, 2)
        if changed == by:
            assert getattr(setting, by) == value
        setting.problem(0)


def test_no_sweep_takes_the_softmax_of_one_output() -> None:
    assert "softmax" not in dict(sweep("loss", Setting(dims=(4, 3, 1))))


def test_bias_of_st_grows_with_depth() -> None:
    estimators = create(["st"])
    biases = [
        run(setting, estimators, Budget(networks=9)).score("st", "1").bias
        for _, setting in sweep("depth", Setting())
    ]
    assert biases == sorted(biases)


def test_along_a_training_run_the_loss_falls_and_all_is_measured() -> None:
    task = get_task("teacher", SMALL.dims, seed=0)
    reports: list[str] = []
    state = torch.get_rng_state()
    found = along(
        task, SMALL, create(["st", "arm"]), QUICK, steps=(0, 5, 150), report=reports.append
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert [moment.step for moment in found] == [0, 5, 150]
    assert len(reports) == 3
    assert found[-1].loss < found[0].loss
    assert found[-1].accuracy > found[0].accuracy
    for moment in found:
        arm = [s for s in moment.scores if s.estimator == "arm"]
        assert max(s.bias for s in arm) < 1e-10
    again = along(task, SMALL, create(["st", "arm"]), QUICK, steps=(0, 5, 150))
    assert again == found
    others = along(task, SMALL, create(["gumbel"]), QUICK, steps=(0, 5, 150))
    assert others[-1].loss == found[-1].loss


def test_training_task_of_digits() -> None:
    task = get_task("digits", (64, 4, 10), seed=0)
    assert task.inputs.shape == (len(task.targets), 64)
    assert bool((task.inputs.abs() <= 1).all())
    assert bool((task.targets.sum(1) == 2 - 10).all())


@pytest.mark.parametrize(
    ("name", "dims", "message"),
    [("digits", (6, 5, 1), "64 inputs"), ("cats", (6, 5, 1), "unknown task 'cats'")],
)
def test_bad_tasks_are_refused(name: str, dims: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_task(name, dims, seed=0)


def test_evaluated_accuracy_is_of_the_task() -> None:
    """A task with one input value and a constant answer is learned."""
    x = torch.ones(64, 4, dtype=torch.float64)
    task = Task(x, torch.ones(64, 1, dtype=torch.float64))
    last = along(task, SMALL, create(["st"]), QUICK, steps=(200,))[-1]
    assert last.accuracy > 0.95


@pytest.mark.parametrize(
    ("st", "psa", "arm", "samples", "taken", "better"),
    [
        # Bias, variance. Few samples: variance decides; many: bias does.
        ((0.1, 1.0), (0.0, 0.5), (0.0, 40.0), 10, "st", "psa"),
        ((0.0, 1.0), (0.2, 1.5), (0.0, 40.0), 10, "st", None),
        ((0.9, 0.1), (0.8, 0.1), (0.0, 9.0), 10_000, "gumbel", "arm"),
    ],
)
def test_the_answer_follows_the_figures(
    st: tuple[float, float],
    psa: tuple[float, float],
    arm: tuple[float, float],
    samples: int,
    taken: str,
    better: str | None,
) -> None:
    figures = {"st": st, "gumbel": (0.3, 5.0), "psa": psa, "arm": arm}
    scores = [s for name, (b, v) in figures.items() for s in made(name, bias=b, variance=v)]
    answer = advise(Result(SMALL, tuple(scores), "imagined"), create(list(figures)), samples)
    assert answer[0].startswith(f"Take {taken}: with {samples:,} estimates")
    told = [sentence for sentence in answer if "has a smaller error" in sentence]
    assert [sentence.split()[0] for sentence in told] == ([better] if better else [])


def test_the_answer_names_what_is_worse_than_nothing() -> None:
    scores = made("st", bias=0.1, variance=1.0) + made("st-identity", bias=2.0, variance=1.0)
    answer = advise(Result(SMALL, tuple(scores), "imagined"), create(["st", "st-identity"]), 100)
    assert answer[-1].startswith("Further off than a gradient of zero would be: st-identity")
    assert "st (" not in answer[-1]


def test_the_answer_says_when_unbiased_is_better() -> None:
    biased, unbiased = made("st", bias=0.1, variance=1.0), made("arm", bias=0.0, variance=21.0)
    answer = advise(
        Result(SMALL, (*biased, *unbiased), "imagined"), create(["st", "arm"]), samples=100
    )
    assert break_even(biased[0], unbiased[0]) == pytest.approx(2000)
    assert any("21 times the variance" in s and "2,000 averaged" in s for s in answer)


def test_break_even_of_equally_biased_estimators_never_comes() -> None:
    some, more = made("st", bias=0.0, variance=1.0)[0], made("arm", bias=0.0, variance=2.0)[0]
    assert break_even(some, more) == math.inf
    assert break_even(more, some) == 1


def test_the_answer_draws_on_sweeps_and_training() -> None:
    estimators = create(["st", "gumbel"])
    sweeps = {
        by: [(value, run(setting, estimators, QUICK)) for value, setting in sweep(by, SMALL)]
        for by in ("depth", "noise")
    }
    task = get_task("teacher", SMALL.dims, seed=0)
    found = along(task, SMALL, estimators, QUICK, steps=(0, 3))
    result = Result(SMALL, found[-1].scores, found[-1].reference)
    answer = advise(result, estimators, 100, sweeps=sweeps, moments=found)
    text = " ".join(answer)
    assert "By depth, the first layer's bias is" in text
    assert "By noise, the first layer's bias is least for" in text
    assert "In 3 training steps the bias of" in text
    assert "had the smallest error at first" in text
