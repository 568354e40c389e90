"""Searches that are complete, stopped, killed, shared, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.state import STATE
from sbn_deploy.train.trainer import Stopped
from sbn_deploy.tune import Search, TuneConfig, search
from sbn_deploy.tune.page import PAGE, command, importances, write
from sbn_runtime.errors import ConfigError, MissingDependencyError

from ..command import sbn

CONFIG = TuneConfig(
    search={
        "latent_lr": {"low": 0.1, "high": 10.0, "log": True},
        "weights": ["sampled", "deterministic"],
    }
)


def quiet(_: str) -> None:
    pass


def test_trials_are_scored_by_the_validation_images(base: TrainConfig, tmp_path: Path) -> None:
    said: list[str] = []
    found = Search(CONFIG, base, tmp_path / "study")
    found.run(3, said.append)
    assert len(found.trials) == 3
    assert sum(text.startswith("trial ") for text in said) == 3
    (best,) = found.best
    assert found.score(best) == max(map(found.score, found.completed))
    assert len(found.curve(best)) == base.epochs
    # Its own command trains the same network.
    settings = found.values(best)
    assert set(settings) == {"latent_lr", "weights"}
    checkpoint = found.trial_folder(best) / "checkpoint.safetensors"
    line = command(found, best, Path("r.toml"), ["members=1"])
    assert f"latent_lr={settings['latent_lr']!r}" in line
    assert checkpoint.is_file()
    # Another run has nothing left to do, one that asks for more goes on.
    again = Search(CONFIG, base, tmp_path / "study")
    again.run(3, quiet)
    assert len(again.trials) == 3
    again.run(4, quiet)
    assert len(again.trials) == 4


def test_a_poor_trial_is_stopped_early(base: TrainConfig, tmp_path: Path) -> None:
    found = Search(CONFIG, base.model_copy(update={"epochs": 4}), tmp_path / "study")
    good = {"latent_lr": 3.0, "weights": "deterministic"}
    for _ in range(search.STARTUP_TRIALS):
        found.study.enqueue_trial(good)
    # It hardly moves.
    found.study.enqueue_trial({"latent_lr": 0.1, "weights": "sampled"})
    found.run(search.STARTUP_TRIALS + 1, quiet)
    poor = found.trials[-1]
    assert poor.state == optuna.trial.TrialState.PRUNED
    assert "behind the others" in found.why_pruned(poor)
    assert len(found.curve(poor)) == CONFIG.warmup_epochs + 1


def test_several_goals(base: TrainConfig, tmp_path: Path) -> None:
    config = TuneConfig(goals=["accuracy", "latency", "bytes"], search={"model.width": [8, 16]})
    found = Search(config, base, tmp_path / "study")
    found.study.enqueue_trial({"model.width": 8})
    found.study.enqueue_trial({"model.width": 16})
    found.run(2, quiet)
    small, large = found.trials
    assert small.values[2] < large.values[2]
    size = (found.trial_folder(small) / "model.onnx").stat().st_size
    assert small.values[2] == size
    assert small.values[1] > 0
    assert small in found.best
    assert found.titles == ["accuracy", "latency", "bytes"]
    write(found, Path("r.toml"), [])
    assert "Trade-offs" in (found.folder / PAGE).read_text()


def test_a_stopped_trial_is_the_next_one(
    base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Search(CONFIG, base, tmp_path / "study")
    real, calls = search.train, []

    def stop_once(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            after = options["after_epoch"]

            def stop(history: Any) -> None:
                after(history)
                raise Stopped("stopped", signal.SIGINT)

            options["after_epoch"] = stop
        return real(*arguments, **options)

    monkeypatch.setattr(search, "train", stop_once)
    with pytest.raises(Stopped):
        found.run(1, quiet)
    (failed,) = found.study.get_trials(states=(optuna.trial.TrialState.FAIL,))
    again = Search(CONFIG, base, tmp_path / "study")
    again.run(1, quiet)
    (done,) = again.trials
    assert done.params == failed.params
    assert again.trial_folder(done) == again.trial_folder(failed)
    assert len(done.intermediate_values) == base.epochs


def test_a_killed_trial_is_tried_again_from_where_it_stood(
    recipe_file: Path, search_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    words = [recipe_file, "--search", search_file, "--out", folder, "--set", "epochs=200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sbn_deploy.cli", "tune", *words, "--trials", "1"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
    )
    state = folder / "trials" / "0000" / STATE
    while not state.exists() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert state.exists()
    # The state is of one epoch; to end soon, the trial goes on with the rest of the search.
    monkeypatch.setattr(search, "BEAT_S", 1)
    monkeypatch.setattr(search, "GRACE_S", 1)
    time.sleep(2.5)
    from sbn_deploy.train.config import load as load_recipe
    from sbn_deploy.tune import load

    base = load_recipe(recipe_file, ["epochs=200"], out=folder)
    found = Search(load(search_file), base, folder)
    started: list[bool] = []

    def seen(config: TrainConfig, **options: Any) -> Any:
        started.append((config.out / STATE).exists())
        raise Stopped("enough", signal.SIGTERM)

    monkeypatch.setattr(search, "train", seen)
    with pytest.raises(Stopped):
        found.run(1, quiet)
    assert started == [True]
    states = [trial.state.name for trial in found.study.trials]
    assert states == ["FAIL", "FAIL", "WAITING"]
    assert len({str(trial.params) for trial in found.study.trials[:2]}) == 1


def test_processes_share_a_study(recipe_file: Path, search_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    words = [recipe_file, "--search", search_file, "--out", folder, "--trials", "4"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "sbn_deploy.cli", "tune", *words],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{folder / 'study.db'}")
    # The other one may have begun one more before the last was done.
    assert 4 <= len(study.trials) <= 5
    folders = [trial.user_attrs[search.FOLDER] for trial in study.trials]
    assert len(set(folders)) == len(folders)


def test_a_study_belongs_to_one_search(base: TrainConfig, tmp_path: Path) -> None:
    Search(CONFIG, base, tmp_path / "study")
    other = TuneConfig(search={"latent_lr": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="with another search; give another folder"):
        Search(other, base, tmp_path / "study")
    longer = base.model_copy(update={"epochs": 9})
    with pytest.raises(ConfigError, match="with another recipe"):
        Search(CONFIG, longer, tmp_path / "study")


@pytest.mark.parametrize(
    ("url", "error", "reason"),
    [
        ("nonsense", ConfigError, "storage nonsense"),
        ("sqlite:////nowhere/at/all.db", ConfigError, "unable to open database file"),
        ("mysql+absent://u:secret@host/x", ConfigError, "storage mysql"),
    ],
)
def test_storage_that_does_not_answer(
    base: TrainConfig, tmp_path: Path, url: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises((error, MissingDependencyError), match=reason) as found:
        Search(CONFIG, base, tmp_path / "study", url)
    assert "\n" not in str(found.value)
    assert "secret" not in str(found.value)


def test_a_file_that_is_no_database(base: TrainConfig, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / search.DATABASE).write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(ConfigError, match="file is not a database"):
        Search(CONFIG, base, folder)


def test_refused_trials_are_passed_over(base: TrainConfig, tmp_path: Path) -> None:
    config = TuneConfig(search={"deterministic_epochs": [0, 3], "epochs": [1, 3]})
    found = Search(config, base, tmp_path / "study")
    found.study.enqueue_trial({"deterministic_epochs": 3, "epochs": 1})
    found.study.enqueue_trial({"deterministic_epochs": 0, "epochs": 1})
    said: list[str] = []
    found.run(2, said.append)
    refused, fine = found.trials
    assert "only 1 epochs" in found.why_pruned(refused)
    assert found.best == [fine]
    assert any(text.startswith("refused: deterministic_epochs is 3") for text in said)
    write(found, Path("r.toml"), [])
    assert "only 1 epochs" in (found.folder / PAGE).read_text()


def test_every_trial_refused(base: TrainConfig, tmp_path: Path) -> None:
    config = TuneConfig(search={"latent_lr": [1e30, 1e31], "step": [1e30, 1e31]})
    found = Search(config, base, tmp_path / "study")
    with pytest.raises(
        ConfigError, match=r"every trial was refused; .* use smaller learning rates"
    ):
        found.run(1, quiet)


def test_what_matters(base: TrainConfig, tmp_path: Path) -> None:
    found = Search(CONFIG, base, tmp_path / "study")
    assert importances(found) == {}
    for number in range(8):
        weights = ("sampled", "deterministic")[number % 2]
        params = {"latent_lr": 1.0 + number / 10, "weights": weights}
        space = {
            "latent_lr": optuna.distributions.FloatDistribution(0.1, 10.0, log=True),
            "weights": optuna.distributions.CategoricalDistribution(("sampled", "deterministic")),
        }
        trial = optuna.create_trial(
            params=params, distributions=space, values=[0.5 + 0.4 * (number % 2)]
        )
        found.study.add_trial(trial)
    shares = importances(found)
    assert shares["weights"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_the_command(recipe_file: Path, search_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    words = ("tune", recipe_file, "--search", search_file, "--trials", "2", "--out", folder)
    done = sbn(*words, "--json")
    assert done.status == 0, done
    (best,) = done.json
    assert set(best["settings"]) == {"latent_lr", "weights"}
    assert Path(best["folder"]).is_dir()
    page = (folder / PAGE).read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    shown = sbn(*words)
    assert "train with it: sbn train --config" in shown.stdout
    missing = sbn("tune", recipe_file, "--search", tmp_path / "none.toml")
    assert "none.toml" in missing.refused()
