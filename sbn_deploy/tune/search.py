"""A search: trials that are trained one after the other, by Optuna's sampler and pruner."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from sbn_deploy.materialize import Form
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.files import load as load_measurement
from sbn_deploy.tasks import Metric
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.kept import best_epoch
from sbn_deploy.train.loop import Stopped, TrainResult, train
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import choosing_metric
from sbn_deploy.verbs import run_verb
from sbn_runtime.errors import ConfigError, MissingDependencyError
from sbn_runtime.files import check_writable

from .config import Range, TuneConfig, as_toml

DATABASE = "study.db"
DRIVEN = "postgresql+psycopg://USER@HOST/NAME"
"""With the driver, as its default depends on the version of SQLAlchemy."""
BEAT_S, GRACE_S = 10, 30
"""A trial whose process has not been heard of for so long is tried again."""
LOOK_S = 1
OPENINGS, OPENING_WAIT_S = 5, 0.2
SQLITE_WAIT_S = 60
STARTUP_TRIALS = 5
"""Trials that are never pruned, as there is nothing yet to compare them with."""
LATENCY_RUNS = 200
DONE = (TrialState.COMPLETE, TrialState.PRUNED)

# What is kept with a trial and with the study.
FOLDER, REFUSED, CURVE, CLAIM = "folder", "refused", "curve", "claim"


class Search:
    """A study in a folder, or in a database that several processes share.

    Each trial is trained in `folder`/trials/NUMBER and judged by the validation images; the test
    images play no part. A trial that was killed or interrupted resumes where it stopped.

    Args:
        config: what is searched.
        base: the recipe whose other settings all trials share; its `out` is not used.
        folder: of the trials; its name is the name of the study.
        storage: URL of a database as SQLAlchemy writes it; none for a file in `folder`.

    Attributes:
        metric: what trials are scored by.
        study: Optuna's.

    Raises:
        ConfigError: values that a setting does not take, data or network that cannot be trained,
            a database that does not answer, or one that holds another search of this name.
        MissingDependencyError: the database's driver is not installed.
        OutputError: the folder cannot be written to.
    """

    def __init__(
        self, config: TuneConfig, base: TrainConfig, folder: Path, storage: str = ""
    ) -> None:
        config.check(base)
        self.config, self.base, self.folder = config, base, folder
        ready = prepare(config.recipe(base, {}))
        self.metric: Metric = choosing_metric(ready.head.objective, ready.config)
        check_writable(folder)
        self.url = storage or f"sqlite:///{(folder / DATABASE).absolute()}"
        with self._talking():
            try:
                self.study = self._opened()
            except ImportError as error:
                raise MissingDependencyError(
                    f"storage {self._place} needs a driver that is not installed: {error}; for"
                    f" PostgreSQL: pip install 'psycopg[binary]', and --storage {DRIVEN}"
                ) from error
            self._claim()

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that have come to an end, in their order: completed or pruned."""
        with self._talking():
            return self.study.get_trials(deepcopy=False, states=DONE)

    @property
    def completed(self) -> list[FrozenTrial]:
        """Those that were trained to the end."""
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]

    @property
    def scored(self) -> list[FrozenTrial]:
        """Those that have a score, if only of their first epochs."""
        return [trial for trial in self.trials if self.curve(trial)]

    @property
    def best(self) -> list[FrozenTrial]:
        """The best completed trial, or with several goals those that no other beats in all."""
        with self._talking():
            if not self.completed:
                return []
            if len(self.config.goals) == 1:
                return [self.study.best_trial]
            return sorted(self.study.best_trials, key=lambda trial: trial.number)

    def run(self, trials: int, say: Callable[[str], None]) -> None:
        """Goes on until the study has so many trials that came to an end, here or elsewhere.

        Raises:
            Stopped: SIGTERM or Ctrl-C came; the trial is the next one of the next run.
            ConfigError: every trial was refused, with the reason of the last one.
        """
        with self._talking():
            while (done := len(self.trials)) < trials:
                if done + self._running() >= trials:
                    # Its process may die yet: then the trial is taken up here.
                    time.sleep(LOOK_S)
                    continue
                say(f"trial {done + 1} of {trials}")
                self.study.optimize(
                    self._try, n_trials=1, callbacks=[lambda _, trial: say(self._said(trial))]
                )
        refused = [trial.user_attrs.get(REFUSED) for trial in self.trials]
        if all(refused):
            raise ConfigError(f"every trial was refused; the last one: {refused[-1]}")

    def _running(self) -> int:
        """How many trials other processes train; those of dead ones become trials that wait."""
        optuna.storages.fail_stale_trials(self.study)
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def values(self, trial: FrozenTrial) -> dict[str, Any]:
        """The settings of a trial by name."""
        return {
            name: json.loads(value) if self._is_text(name) else value
            for name, value in trial.params.items()
        }

    def curve(self, trial: FrozenTrial) -> list[float]:
        """The score after each epoch."""
        return list(trial.user_attrs.get(CURVE, []))

    def score(self, trial: FrozenTrial) -> float:
        """That of a completed trial; the last one of a pruned trial."""
        return trial.values[0] if trial.values else self.curve(trial)[-1]

    def why_pruned(self, trial: FrozenTrial) -> str:
        """Why a trial was not completed."""
        if reason := trial.user_attrs.get(REFUSED):
            return f"refused: {reason}"
        return f"stopped after epoch {len(self.curve(trial))}, behind the others"

    def _try(self, trial: Trial) -> Sequence[float]:
        """One trial: its goals. Raises TrialPruned, Stopped."""
        values = {name: self._suggest(trial, name) for name in self.config.search}
        number = trial.user_attrs.get(FOLDER, f"{trial.number:04d}")
        trial.set_user_attr(FOLDER, number)
        try:
            recipe = self.config.recipe(self.base, values)
            recipe = recipe.model_copy(update={"out": self.folder / "trials" / number})
            result = train(recipe, resume=True, after_epoch=lambda h: self._report(trial, h))
        except Stopped:
            frozen = self.study.get_trials(deepcopy=False)[trial.number]
            self.study.enqueue_trial(frozen.params, user_attrs={FOLDER: number})
            raise
        except ConfigError as error:
            # Such as a step so large that the loss is no longer finite: a bad place to be in.
            trial.set_user_attr(REFUSED, str(error))
            raise optuna.TrialPruned from error
        history = result.metrics["history"]
        score = history[best_epoch(history, self.metric) - 1][self._key]
        others = self.config.goals[1:]
        return [score, *self._costs(others, result)] if others else [score]

    @property
    def _key(self) -> str:
        """Of the score in the record of an epoch."""
        return f"validation_{self.metric.key}"

    def _report(self, trial: Trial, history: Sequence[Mapping[str, Any]]) -> None:
        """After an epoch. Raises TrialPruned for a trial that falls behind."""
        curve = [record[self._key] for record in history]
        trial.set_user_attr(CURVE, curve)
        if len(self.config.goals) > 1:
            # Optuna prunes for one goal only.
            return
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for epoch, score in enumerate(curve, 1):
            if epoch not in known:
                trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    def _suggest(self, trial: Trial, name: str) -> Any:
        space = self.config.search[name]
        if isinstance(space, Range):
            if space.whole:
                step = int(space.step or 1)
                return trial.suggest_int(
                    name, int(space.low), int(space.high), step=step, log=space.log
                )
            return trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)
        if self._is_text(name):
            return json.loads(trial.suggest_categorical(name, [json.dumps(one) for one in space]))
        return trial.suggest_categorical(name, space)

    def _is_text(self, name: str) -> bool:
        """Whether choices are kept as JSON: Optuna's are numbers and texts, not lists."""
        space = self.config.search[name]
        return not isinstance(space, Range) and any(isinstance(one, list | dict) for one in space)

    def _costs(self, goals: Sequence[str], result: TrainResult) -> list[float]:
        """Milliseconds and bytes of the exported file, in the order of the goals."""
        from sbn_deploy.export import export_checkpoint

        model = result.checkpoint_path.with_name("model.onnx")
        export_checkpoint(result.checkpoint_path, model, Form())
        costs = {"bytes": float(model.stat().st_size)}
        if "latency" in goals:
            times = model.with_name("benchmark.json")
            runs = ("--runs", str(LATENCY_RUNS), "-o", str(times))
            run_verb("benchmark", str(model), *runs, quiet=True)
            measured = load_measurement(times)
            assert isinstance(measured, Benchmark)
            costs["latency"] = measured.results[0].p50_ms
        return [costs[goal] for goal in goals]

    def _said(self, trial: FrozenTrial) -> str:
        """What became of a trial."""
        settings = " ".join(f"{name}={as_toml(n)}" for name, n in self.values(trial).items())
        if trial.state == TrialState.PRUNED:
            return f"{self.why_pruned(trial)} ({settings})"
        best = ", ".join(self.show(one) for one in self.best)
        return f"{self.show(trial)} ({settings}); best: {best}"

    def show(self, trial: FrozenTrial) -> str:
        """The goals of a completed trial in one phrase."""
        pairs = zip(self.titles, self.shown(trial), strict=True)
        return ", ".join(f"{title} {value}" for title, value in pairs)

    @property
    def titles(self) -> list[str]:
        """What the goals are called where they are shown."""
        return [self.metric.title if goal == "accuracy" else goal for goal in self.config.goals]

    def shown(self, trial: FrozenTrial) -> list[str]:
        """The goals of a completed trial with their units, in the order of `titles`."""
        units: dict[str, Callable[[float], str]] = {
            "accuracy": self.metric.show,
            "latency": lambda value: f"{value:.3f} ms",
            "bytes": lambda value: f"{value / 1000:,.0f} kB",
        }
        return [units[goal](n) for goal, n in zip(self.config.goals, trial.values, strict=True)]

    def trial_folder(self, trial: FrozenTrial) -> Path:
        """Where a trial was trained, on the machine that did it."""
        return self.folder / "trials" / str(trial.user_attrs[FOLDER])

    def _opened(self) -> optuna.Study:
        """The study. Of processes that make its tables at once, all but one fail at first."""
        for _ in range(OPENINGS - 1):
            try:
                return self._open()
            except (IntegrityError, OperationalError, StorageInternalError):
                time.sleep(OPENING_WAIT_S)
        return self._open()

    def _open(self) -> optuna.Study:
        patience = {"timeout": SQLITE_WAIT_S} if self.url.startswith("sqlite:") else {}
        storage = RDBStorage(
            self.url,
            engine_kwargs={"connect_args": patience},
            heartbeat_interval=BEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
        down = StudyDirection.MINIMIZE
        first = StudyDirection.MAXIMIZE if self.metric.better == "higher" else down
        return optuna.create_study(
            storage=storage,
            study_name=self.folder.absolute().name,
            load_if_exists=True,
            directions=[first] + [down] * len(self.config.goals[1:]),
            sampler=optuna.samplers.TPESampler(seed=self.config.seed),
            pruner=optuna.pruners.MedianPruner(
                # Epochs are counted from 1.
                n_startup_trials=STARTUP_TRIALS,
                n_warmup_steps=self.config.warmup_epochs + 1,
            ),
        )

    def _claim(self) -> None:
        """Makes the study this search's, or finds that it is. Raises ConfigError."""
        claim = {
            "search": self.config.model_dump(mode="json"),
            "recipe": self.base.model_dump(mode="json", exclude={"out"}, exclude_unset=True),
        }
        before = self.study.user_attrs.get(CLAIM)
        if before is None and self.study.get_trials(deepcopy=False):
            raise ConfigError(
                f"{self._place} holds a study {self.study.study_name!r} that is not one of sbn"
                " tune; give another folder with --out"
            )
        if before is None:
            self.study.set_user_attr(CLAIM, claim)
        elif changed := [name for name in claim if before[name] != claim[name]]:
            raise ConfigError(
                f"{self._place} holds a study {self.study.study_name!r} with another {changed[0]};"
                " give another folder with --out"
            )

    @property
    def _place(self) -> str:
        """The database as it may be shown: without its password."""
        try:
            return make_url(self.url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            return self.url

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Quietens Optuna; turns what its database raises into one line."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            try:
                yield
            except (SQLAlchemyError, OptunaError) as error:
                reason = str(error.__cause__ or error).splitlines()[0]
                raise ConfigError(f"storage {self._place}: {reason}") from error
