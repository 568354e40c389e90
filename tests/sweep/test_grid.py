"""The forms of a checkpoint, and the settings that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_deploy.sweep import SweepConfig, load
from sbn_deploy.sweep.grid import forms
from sbn_runtime import ConfigError


def test_every_combination_is_a_form() -> None:
    config = SweepConfig(checkpoint=Path("c"), members=[4, 2], samples=[8], seed=3)
    found = {form.name: form.options for form in forms(config)}
    assert set(found) == {
        *("threshold", "members2", "members4"),
        *("threshold-noise8", "members2-noise8", "members4-noise8"),
    }
    assert found["threshold"] == {}
    assert found["members4-noise8"] == {
        "weights": "sample",
        "members": 4,
        "seed": 3,
        "activations": "stochastic",
        "samples": 8,
        "noise_seed": 3,
    }


def test_the_cheapest_forms_come_first() -> None:
    config = SweepConfig(checkpoint=Path("c"), members=[8, 1], samples=[16, 2])
    networks = [
        form.options.get("members", 1) * form.options.get("samples", 1) for form in forms(config)
    ]
    assert networks == sorted(networks)


def test_a_part_of_the_grid() -> None:
    config = SweepConfig(
        checkpoint=Path("c"), weights=["sample"], activations=["deterministic"], members=[1, 2]
    )
    assert [form.name for form in forms(config)] == ["members1", "members2"]
    assert not any(form.stochastic for form in forms(config))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'checkpoint' is missing"),
        ('checkpoint = "c"\nmember = [1]', "did you mean members"),
        ('checkpoint = "c"\nmembers = [0]', "members.0 is 0"),
        ('checkpoint = "c"\nmembers = []', "members is"),
        ('checkpoint = "c"\nsamples = [2, 2]', "names a value twice"),
        ('checkpoint = "c"\nengines = ["lce"]', "must include sbn"),
        ("checkpoint =", "is not valid TOML"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load(path)


def test_other_images_than_the_file_names(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('checkpoint = "c"\ndata = "cifar10:PATH"')
    assert load(path).data == "cifar10:PATH"
    assert load(path, data="digits").data == "digits"
