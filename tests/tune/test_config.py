"""What may be searched, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.config import load as load_recipe
from sbn_deploy.tune.config import Range, TuneConfig, as_toml, load
from sbn_runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'search' is missing"),
        ("[search]", "search is {}"),
        ("[search]\nlatent_lr = 3", "latent_lr"),
        ("[search]\nlatent_lr = [1.0]", "latent_lr"),
        ("[search]\nlatent_lr = { low = 3, high = 1 }", "must be below"),
        ("[search]\nlatent_lr = { low = 0, high = 1, log = true }", "starts above 0"),
        ("[search]\nlatent_lr = { low = 1, high = 9, log = true, step = 2 }", "exclude each other"),
        ("[search]\nlatent_lr = { low = 1, high = 9, steps = 2 }", "steps"),
        ("[search]\nlatent_lr = { low = nan, high = 9 }", "must be below"),
        ('goals = ["latency"]\n[search]\nepochs = [1, 2]', "begins with accuracy"),
        ('goals = ["accuracy", "accuracy"]\n[search]\nepochs = [1, 2]', "names a goal twice"),
        ('goals = ["speed"]\n[search]\nepochs = [1, 2]', "choose one of"),
        ('[search]\nout = ["a", "b"]', "out cannot be searched"),
        ("search = 1", "search is 1"),
        ("[search", "is not valid TOML"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "search.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ({"latent_step": [1.0, 2.0]}, None),
        ({"latent_lrr": [1.0, 2.0]}, "did you mean latent_lr"),
        ({"weights": ["sampled", "drawn"]}, 'weights = "drawn"'),
        ({"latent_lr": {"low": -1.0, "high": 1.0}}, "latent_lr = -1.0"),
        ({"epochs": {"low": 1, "high": 2.5}}, "epochs = 2.5"),
    ],
)
@pytest.mark.filterwarnings("ignore::sbn_deploy.settings.RenamedWarning")
def test_values_are_checked_before_the_first_trial(
    base: TrainConfig, search: dict[str, Any], reason: str | None
) -> None:
    config = TuneConfig(search=search)
    if reason is None:
        config.check(base)
        return
    with pytest.raises(ConfigError, match=reason):
        config.check(base)


def test_a_recipe_gets_the_values_of_a_trial(base: TrainConfig) -> None:
    config = TuneConfig(search={"model.width": [8, 16], "latent_lr": [1.0, 2.0]})
    recipe = config.recipe(base, {"model.width": 16, "latent_lr": 2.0})
    assert recipe.model == {"width": 16}
    assert recipe.latent_lr == 2.0
    assert recipe.validation
    assert recipe.members == 1
    assert base.model == {"width": 8}


def test_ranges_of_whole_numbers() -> None:
    assert Range(low=1, high=9).whole
    assert Range(low=1, high=9, step=2).whole
    assert not Range(low=1, high=9, step=0.5).whole
    assert not Range(low=1.0, high=9).whole


@given(
    st.one_of(
        st.booleans(),
        st.integers(-(2**50), 2**50),
        st.floats(1e-9, 1e9),
        st.lists(st.integers(0, 999), min_size=1),
        st.sampled_from(["sampled", "mean"]),
    )
)
def test_exact_values_come_back_from_the_command(value: Any) -> None:
    recipe = load_recipe(None, [f"model.x={as_toml(value, exact=True)}"], out=Path("x"))
    assert recipe.model["x"] == value
    assert type(recipe.model["x"]) is type(value)
