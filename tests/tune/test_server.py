"""A search shared through a PostgreSQL server: `make test-engines`."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.state import STATE
from sbn_deploy.tune import Search, TuneConfig, search
from sbn_runtime.errors import ConfigError

from ..command import COMMAND

pytest.importorskip("psycopg", reason="needs psycopg: make test-engines")
INITDB = next(
    iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)),
    Path(shutil.which("initdb") or "none"),
)
pytestmark = [
    pytest.mark.skipif(not INITDB.exists(), reason="needs a server: postgresql of Debian"),
    # Optuna leaves its connections to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TRIALS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a new server, as far as the name of a database."""
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="sbn-postgres-"))
    if user:
        shutil.chown(folder, user)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [INITDB, "-D", data, "-U", "sbn", "--auth=trust", "--no-sync", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    process = subprocess.Popen(
        [
            INITDB.with_name("postgres"),
            "-D",
            data,
            "-k",
            folder,
            "-p",
            str(port),
            "-c",
            "fsync=off",
        ],
        stderr=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    url = f"postgresql+psycopg://sbn@127.0.0.1:{port}"
    try:
        while not answers(f"{url}/postgres"):
            assert process.poll() is None
            time.sleep(0.05)
        yield url
    finally:
        # SIGTERM would wait until all have left.
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What Optuna leaves is collected where its warnings are expected."""
    yield
    gc.collect()


def answers(url: str) -> bool:
    try:
        run(url, "SELECT 1")
    except sqlalchemy.exc.OperationalError:
        return False
    return True


def run(url: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(statement))
    finally:
        engine.dispose()


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    name = f"d{abs(hash(request.node.name)):x}"
    run(f"{server}/postgres", f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def test_one_of_two_processes_is_killed(
    recipe_file: Path, search_file: Path, tmp_path: Path, database: str
) -> None:
    """As on two machines, each with a folder of its own."""

    def tune(machine: str, *more: str) -> subprocess.Popen[str]:
        words = [recipe_file, "--search", search_file, "--storage", database]
        words += ["--out", tmp_path / machine / "study", "--trials", str(TRIALS), *more]
        return subprocess.Popen(
            [*COMMAND, "tune", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    settings = ("--set", "epochs=100")
    first, second = tune("a", *settings), tune("b", *settings)
    for machine in ("a", "b"):
        while not [*(tmp_path / machine / "study" / "trials").glob("*/" + STATE)]:
            assert first.poll() is second.poll() is None
            time.sleep(0.02)
    first.kill()
    first.communicate()
    _, said = second.communicate()
    assert second.returncode == 0, said
    study = optuna.load_study(study_name="study", storage=database)
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == TRIALS
    assert states[TrialState.FAIL] == 1
    assert states.keys() <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    # What was killed was tried again, with the same settings and once.
    done = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    folders = [trial.user_attrs[search.FOLDER] for trial in done]
    assert len({*folders}) == TRIALS
    (lost,) = study.get_trials(states=(TrialState.FAIL,))
    (again,) = [
        one for one in done if one.user_attrs[search.FOLDER] == lost.user_attrs[search.FOLDER]
    ]
    assert again.params == lost.params
    # Whoever comes later finds it done.
    third = tune("c", *settings)
    _, said = third.communicate()
    assert third.returncode == 0, said
    assert len(study.get_trials()) == sum(states.values())


def test_a_study_of_another_search(base: TrainConfig, tmp_path: Path, database: str) -> None:
    mine = TuneConfig(search={"latent_lr": [1.0, 2.0]})
    Search(mine, base, tmp_path / "study", database)
    with pytest.raises(ConfigError, match="holds a study 'study' with another search") as found:
        Search(TuneConfig(search={"weight_lr": [1.0, 2.0]}), base, tmp_path / "study", database)
    assert "\n" not in str(found.value)
    # One that something else has made.
    for name, directions in (("two", ["minimize"] * 2), ("one", ["maximize"])):
        theirs = optuna.create_study(storage=database, study_name=name, directions=directions)
        theirs.add_trial(optuna.create_trial(values=[0.5] * len(directions)))
        with pytest.raises(ConfigError, match=f"holds a study '{name}' that is not one of sbn"):
            Search(mine, base, tmp_path / name, database)


def test_a_server_that_does_not_answer(base: TrainConfig, tmp_path: Path, server: str) -> None:
    config = TuneConfig(search={"latent_lr": [1.0, 2.0]})
    for url, reason in (
        (f"{server}/missing", 'database "missing" does not exist'),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", "Connection refused"),
    ):
        with pytest.raises(ConfigError, match=reason) as found:
            Search(config, base, tmp_path / "study", url)
        assert "\n" not in str(found.value)
        assert "secret" not in str(found.value)
