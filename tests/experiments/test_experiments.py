"""Experiments: what they train, what they compare, and that they go on where they stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sbn_deploy import data
from sbn_deploy.experiments import DEFAULTS, DESCENT, VARIANTS, Variant, average, compare
from sbn_deploy.experiments.ensembles import NETWORKS, NOISE, SAMPLED, WEIGHTS
from sbn_deploy.materialize import materialize
from sbn_deploy.train import checkpoint, config, seeds
from sbn_deploy.train.loop import CHECKPOINT, METRICS, TrainConfig
from sbn_runtime.errors import ConfigError

from ..command import sbn
from ..few_steps import few_steps


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return few_steps(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def options(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The recipe as options of the command."""
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in small.items() if key != "model"]
    path.write_text("\n".join([*lines, "[model]", "width = 2"]))
    return ["--config", str(path)]


def test_every_plan_is_a_recipe(tmp_path: Path) -> None:
    base = config.load(None, DEFAULTS, out=tmp_path)
    for plan in (VARIANTS, DESCENT):
        recipes = [variant.of(base) for variant in plan]
        assert len({recipe.out for recipe in recipes}) == len(plan)
        assert len({recipe.model_dump_json(exclude={"out"}) for recipe in recipes}) == len(plan)
        assert all(recipe.model["width"] == base.model["width"] for recipe in recipes)


def test_variants_are_trained_with_each_seed_and_only_once(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = TrainConfig(out=tmp_path, **small)
    variants = [Variant("a", {}), Variant("b", {"latent_lr": 0.1, "model": {"init_std": 1.0}})]
    said: list[str] = []
    found = compare(base, variants, (3, 4), report=said.append)
    started = [line for line in said if line.startswith(("a, ", "b, "))]
    assert started == ["a, 1 of 2", "b, 2 of 2"]
    for one in found:
        for index, seed in enumerate((3, 4)):
            kept = json.loads((tmp_path / one.variant.name / f"seed-{seed}" / METRICS).read_text())
            assert kept["seed"] == seed
            score = one.score("thresholded", "nll")
            assert score.values[index] == kept["metrics"]["thresholded"]["nll"]
    recipe = json.loads((tmp_path / "b" / "seed-3" / METRICS).read_text())["recipe"]
    assert recipe["latent_lr"] == 0.1
    assert recipe["model"] == {"width": 2, "init_std": 1.0}
    assert compare(base, variants, (3, 4)) == found
    with pytest.raises(ConfigError, match="holds a finished run with latent_lr"):
        compare(base, [Variant("b", {"latent_lr": 0.2, "model": {"init_std": 1.0}})], (3,))
    # One that was not there is trained, and nothing else.
    trained: list[Path] = []
    real = seeds.train

    def noted(recipe: TrainConfig, **arguments: Any) -> Any:
        if not (recipe.out / CHECKPOINT).exists():
            trained.append(recipe.out)
        return real(recipe, **arguments)

    monkeypatch.setattr(seeds, "train", noted)
    (tmp_path / "b" / "seed-4" / CHECKPOINT).unlink()
    again = compare(base, variants, (3, 4))
    assert trained == [tmp_path / "b" / "seed-4"]
    assert again == found


def test_a_contradiction_is_said_before_anything_is_trained(
    small: dict[str, Any], tmp_path: Path
) -> None:
    base = TrainConfig(out=tmp_path, **small, latent_decay=0.1)
    with pytest.raises(ConfigError, match="latent_decay needs optimizer 'mirror'"):
        compare(base, DESCENT, (0,))
    assert not list(tmp_path.iterdir())


def test_averages_are_those_of_the_forms_that_training_scores(
    small: dict[str, Any], tmp_path: Path
) -> None:
    base = TrainConfig(out=tmp_path, **small | {"members": 3})
    found = {(one.kind, one.count, one.metric): one for one in average(base, (5, 6, 7))}
    kept = [json.loads((tmp_path / f"seed-{seed}" / METRICS).read_text()) for seed in (5, 6, 7)]
    same = ((NETWORKS, 1, "thresholded"), (WEIGHTS, 3, "ensemble"), (NOISE, 3, "noisy"))
    for metric in ("accuracy", "nll"):
        for kind, count, form in same:
            expected = [one["metrics"][form][metric] for one in kept]
            assert found[kind, count, metric].values == pytest.approx(expected, rel=1e-6)
        one = found[NETWORKS, 1, metric]
        assert one.half_width == seeds.half_width(one.values)
        assert found[NETWORKS, 2, metric].half_width is None
    # All three, whichever is the first.
    images = data.load(small["data"], "test")
    inputs = torch.from_numpy(images.inputs())
    for kind, sampled in ((NETWORKS, {}), (SAMPLED, {"weights": "sample"})):
        total = torch.zeros(len(images), 2)
        for seed in (5, 6, 7):
            model, _ = checkpoint.load(tmp_path / f"seed-{seed}" / CHECKPOINT)
            (member,) = materialize(model, seed=seed, **sampled)  # type: ignore[arg-type]
            total += member(inputs).softmax(1) / 3
        share = float((total.argmax(1) == torch.from_numpy(images.labels)).double().mean())
        assert found[kind, 3, "accuracy"].values == pytest.approx([share] * 3)


def test_the_command_on_ensembles(options: list[str], tmp_path: Path) -> None:
    arguments = ["experiment", "ensembles", *options, "--out", tmp_path / "runs"]
    plot = tmp_path / "plot.png"
    done = sbn(*arguments, "--seeds", "0,1", "--plot", plot)
    assert done.status == 0, done
    assert "test accuracy, mean over 2 seeds" in done.stdout
    assert "average of" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = sbn(*arguments, "--seeds", "0,1", "--json").json
    assert {(one["kind"], one["count"]) for one in found["averages"]} == {
        (kind, count) for kind in (NETWORKS, SAMPLED, WEIGHTS, NOISE) for count in (1, 2)
    }
    assert "needs two networks" in sbn(*arguments, "--seeds", "0").refused()


def test_the_command_on_variants(options: list[str], tmp_path: Path) -> None:
    arguments = ["experiment", "variants", *options, "--out", tmp_path / "runs", "--seeds", "0"]
    plot = tmp_path / "plot.png"
    done = sbn(*arguments, "--plot", plot)
    assert done.status == 0, done
    shown = done.stdout.splitlines()
    assert [line.split()[0] for line in shown[1:-1]] == [variant.name for variant in VARIANTS]
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = sbn(*arguments, "--json").json
    assert [one["variant"]["name"] for one in found["variants"]] == [v.name for v in VARIANTS]
    assert "leave twin out" in sbn(*arguments, "--set", "twin=true").refused()
