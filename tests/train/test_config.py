"""Recipes: what they may say, and what is said about those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_deploy.cli import main
from sbn_deploy.nn import models
from sbn_deploy.settings import RenamedWarning
from sbn_deploy.train.config import TrainConfig, load
from sbn_deploy.train.schedule import factor
from sbn_runtime.errors import ConfigError

MODELS = Path(__file__).parents[2] / "models"
RECIPES = sorted([*MODELS.glob("*/recipe.toml"), *MODELS.glob("imagenet/*.toml")])


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_settings_come_from_file_then_assignments_then_arguments(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'epochs = 3\nseed = 1\ndata = "npz:x"\n[model]\nwidth = 8\nlast = "real"\n'
    )
    assignments = ["seed=2", "epochs = 4", "model.width=9", "activations=mean", "milestones=[]"]
    config = load(path, assignments, out=tmp_path, epochs=5, data=None)
    assert (config.epochs, config.seed, config.data) == (5, 2, "npz:x")
    assert config.model == {"width": 9, "last": "real"}
    assert config.activations == "mean"
    assert config.step == TrainConfig(out=tmp_path).step


def test_every_setting_is_documented() -> None:
    for name, field in TrainConfig.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipes_are_valid(recipe: Path, tmp_path: Path) -> None:
    config = load(recipe, out=tmp_path)
    width = {"width": 4} if "width" in models.settings(config.arch) else {}
    models.create(config.arch, **(config.model | width))


def test_one_recipe_explains_every_setting() -> None:
    (digits,) = [path for path in RECIPES if path.parent.name == "digits-cnn"]
    text = digits.read_text()
    for name in TrainConfig.model_fields.keys() - {"out"}:
        assert f"\n# {name}" in text or f"\n{name} = " in text or f"\n[{name}]" in text, name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", r"unknown setting 'epoch'; did you mean epochs\?"),
        ("zzzzzz = 3", r"unknown setting 'zzzzzz'; known: out, arch"),
        ("epochs = 0", r"setting epochs is 0: input should be greater than or equal to 1"),
        ("epochs = 'many'", r"setting epochs is 'many'"),
        ("step = nan", r"setting step is nan"),
        (
            "schedule = 'linear'",
            r"setting schedule is 'linear'; choose one of cosine, step, constant",
        ),
        ("epochs = ", r"recipe\.toml is not valid TOML"),
        ("warmup = 100", "warmup of 100 epochs leaves none of 100"),
        ("milestones = [3]", "milestones need schedule 'step'"),
        ("schedule = 'step'", "milestones need schedule 'step'"),
        ("deterministic_epochs = 200", "there are only 100 epochs"),
        ("optimizer = 'bop'", "needs weights 'deterministic'"),
        ("optimizer = 'projected'\nlatent_decay = 0.1", "needs optimizer 'mirror'"),
        ("teacher_arch = 'digits-cnn'", "teacher_arch needs a teacher"),
        ("batch_size = 64\ngradient_accumulation = 33", "fewer than two images in a part"),
        (
            "batch_size = 64\ngradient_accumulation = 3",
            "not a multiple of gradient_accumulation",
        ),
        ('teacher = "a\\u0000b"', r"setting teacher is .*: it holds a NUL character"),
        ("epochs = 9007199254740993", "it is beyond 9,007,199,254,740,992"),
        ("epochs = 1" + "0" * 30, "not valid TOML: it holds a number of more than 64 bits"),
        ("threads = 1000000", "setting threads is 1000000: input should be less than or equal"),
        ("members = 1000000000", "setting members is 1000000000: input should be less than"),
        ("model = {day = 1979-05-27}", "setting model"),
        ("step = " + "[" * 5000, "not valid TOML"),
        ("twin = true\nweights = 'mean'", "weights does not apply to the fp32 twin"),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load(written(tmp_path, text), out=tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "write key=value"),
        ("=3", "write key=value"),
        ("epochs.first=3", "epochs is not a table"),
        ("step=" + "[" * 5000 + "]" * 5000, "the setting step is not valid TOML: .* too deep"),
        ("step=1\nepochs=5", r"setting step is '1\\nepochs=5'"),
        ("model." + ".".join("a" * 3000) + "=1", "setting model"),
    ],
)
def test_wrong_assignments(tmp_path: Path, assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(written(tmp_path, "epochs = 2"), [assignment], out=tmp_path)


@pytest.mark.parametrize("old", TrainConfig.renamed)
def test_old_names(tmp_path: Path, old: str) -> None:
    new = TrainConfig.renamed[old]
    with pytest.warns(RenamedWarning, match=f"{old} is now called {new}"):
        config = load(written(tmp_path, f"{old} = 2"), out=tmp_path)
    assert getattr(config, new) == 2
    with pytest.raises(ConfigError, match=f"{old} is the old name of {new}"):
        load(written(tmp_path, f"{old} = 2\n{new} = 2"), out=tmp_path)


def test_old_names_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--set", "latent_step=2", "--data", "x", "--out", str(tmp_path)]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: latent_step is now called latent_lr;")
    assert "unknown data set 'x'" in error


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1.5", "setting width is 1.5: input should be a valid integer"),
        ("abc", "setting width is 'abc': input should be a valid integer"),
        ("1e9", "setting width is 1000000000.0: input should be a valid integer"),
        ("true", "setting width is True: input should be a valid integer"),
        ("1000000000", "width is 1,000,000,000; it must be from 1 to 100,000"),
        ("100000", "it needs [0-9,]+ bytes or more, and may have [0-9,]+; make it smaller"),
    ],
)
def test_settings_of_an_architecture_are_checked_before_it_is_made(
    tmp_path: Path, value: str, message: str
) -> None:
    config = load(None, [f"model.width={value}"], out=tmp_path)
    with pytest.raises(ConfigError, match=message):
        models.create("digits-cnn", **config.model)


def test_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nothing.toml: No such file"):
        load(tmp_path / "nothing.toml", out=tmp_path)


def test_schedules(tmp_path: Path) -> None:
    def factors(**settings: object) -> list[float]:
        config = TrainConfig(out=tmp_path, epochs=4, **settings)
        return [factor(config, step, steps=5) for step in range(20)]

    cosine = factors(warmup=1)
    assert cosine[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert cosine[5] == 1
    assert cosine == sorted(cosine[:5]) + sorted(cosine[5:], reverse=True)
    assert 0 < cosine[-1] < 0.02
    steps = factors(schedule="step", milestones=[1, 3], step_factor=0.5)
    assert steps == [1] * 5 + [0.5] * 10 + [0.25] * 5
    assert factors(schedule="constant") == [1] * 20
