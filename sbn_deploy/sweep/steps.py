"""The steps of a sweep. Each writes one file; a step whose file exists is finished.

Models are evaluated and timed by `sbn evaluate` and `sbn benchmark` in processes of their own,
as anyone who repeats a figure would run them; they write their output when it is complete, so a
killed sweep resumes with the first unfinished step.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sbn_deploy.engines.table import SBN
from sbn_deploy.machine.describe import describe
from sbn_deploy.reading.text import parse_json
from sbn_deploy.records.files import load_all, save
from sbn_deploy.records.measurement import head
from sbn_deploy.records.sweep import Candidate, Limits
from sbn_deploy.records.sweep import Sweep as Answer
from sbn_deploy.report import collect
from sbn_deploy.report.content import Point
from sbn_deploy.report.decide import Decision, decide
from sbn_deploy.sweep.config import SweepConfig
from sbn_deploy.sweep.grid import Form, forms
from sbn_deploy.verbs import run_verb
from sbn_runtime.errors import ConfigError, SbnError
from sbn_runtime.files import check_writable, write_atomically
from sbn_runtime.tasks import CLASSIFICATION

STATE = "sweep.json"
ANSWER = "answer.json"
REPORT = "report.html"
TWINS = ("fp32", "int8")
CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class Step:
    """What makes one file, and what to say about it."""

    title: str
    output: Path
    make: Callable[[], None]


class Sweep:
    """A sweep in a folder: `models/`, `evaluations/`, `benchmarks/`, the answer and the report.

    Args:
        remote: the options of `sbn benchmark` that say which device to time on; none to time here.
            A folder may hold the times of several devices; the answer is of this one.

    Raises:
        ConfigError: the checkpoint cannot be read, or the folder holds another sweep.
        OutputError: the folder cannot be written to.
    """

    def __init__(self, config: SweepConfig, folder: Path, remote: Sequence[str] = ()) -> None:
        from sbn_deploy.networks.loading import header_of

        self.config, self.folder, self.remote = config, folder, tuple(remote)
        header = header_of(config.checkpoint)
        task = CLASSIFICATION if header is None else header.task
        if task != CLASSIFICATION:
            raise ConfigError(
                f"a sweep chooses by accuracy, but {config.checkpoint} was trained for {task};"
                " export its forms with `sbn export` and measure each with `sbn evaluate`"
            )
        if header is not None and header.data != "digits" and "data" not in config.model_fields_set:
            raise ConfigError(
                f"{config.checkpoint} was trained on {header.data}; name the test images with"
                " --data, or as `data` in the settings"
            )
        self.forms = forms(config)
        self._claim()

    def steps(self) -> list[Step]:
        """All steps but the report, those that are done as well."""
        models = [form.name for form in self.forms]
        found = [
            Step(f"exporting {form.name}", self._model(form.name), partial(self._export, form))
            for form in self.forms
        ]
        if self.config.twin is not None:
            models += TWINS
            found.append(Step("exporting the fp32 twin", self._model("int8"), self._export_twin))
        found += [
            Step(f"classifying with {name}", self._evaluation(name), partial(self._evaluate, name))
            for name in models
        ]
        for threads in self.config.threads:
            for engine in self.config.engines:
                title = f"timing in {engine}, threads: {threads}"
                measure = partial(self._time, models, engine, threads)
                found.append(Step(title, self._benchmark(engine, threads), measure))
        return found

    def run(self, say: Callable[[str], None]) -> None:
        """Does what is not done yet.

        Raises SbnError when a step fails; what was done before it is kept.
        """
        steps = self.steps()
        for number, step in enumerate(steps, 1):
            done = step.output.is_file()
            say(f"{number}/{len(steps)} {step.title}{': done before' if done else ''}")
            if not done:
                step.output.parent.mkdir(parents=True, exist_ok=True)
                self._do(step)

    def answer(self, limits: Limits, say: Callable[[str], None]) -> tuple[Answer, Decision]:
        """What to ship, of a sweep that has run; writes that and the report.

        Raises SbnError if that fails.
        """
        files = [step.output for step in self.steps() if step.output.suffix == ".json"]
        report = collect(load_all(files, say))
        if not report.comparisons:
            raise ConfigError(" ".join(report.notes))
        # The report opens with the answer to its first comparison, by the same decision.
        points = report.comparisons[0].points
        decision = decide(points, limits)
        answer = Answer(
            **head(describe()),
            checkpoint_sha256=self.checkpoint_sha256,
            limits=limits,
            candidates=tuple(map(_candidate, points)),
            ship=None if decision.ship is None else _candidate(decision.ship),
        )
        save(self.folder / ANSWER, answer)
        files.append(self.folder / ANSWER)
        run_verb("report", *map(str, files), "-o", str(self.folder / REPORT), quiet=True)
        return answer, decision

    def _do(self, step: Step) -> None:
        try:
            step.make()
        except SbnError as error:
            raise SbnError(
                f"{error}; finished steps are kept; run the same command to resume"
            ) from error

    def _claim(self) -> None:
        """Makes the folder this sweep's, or finds that it is."""
        try:
            data = self.config.checkpoint.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {self.config.checkpoint}: {error.strerror}") from error
        self.checkpoint_sha256 = hashlib.sha256(data).hexdigest()
        state = json.loads(self.config.model_dump_json()) | {
            "checkpoint_sha256": self.checkpoint_sha256
        }
        check_writable(self.folder)
        path = self.folder / STATE
        if not path.is_file():
            write_atomically(path, (json.dumps(state, indent=1) + "\n").encode())
            return
        before = _state(path)
        # An earlier version did not know every setting: there they had their defaults.
        defaults = {name: field.default for name, field in SweepConfig.model_fields.items()}
        changed = [name for name in state if before.get(name, defaults.get(name)) != state[name]]
        if changed:
            raise ConfigError(
                f"{self.folder} contains a sweep with another {changed[0]}"
                f" ({before.get(changed[0])!r}); give another folder with --out, or remove it"
            )

    def _export(self, form: Form) -> None:
        export = self._export_network if self.config.network else self._export_checkpoint
        model = self._model(form.name)
        if not self.config.calibrate:
            return export(form, model)
        with tempfile.TemporaryDirectory(dir=model.parent, prefix=".uncalibrated.") as folder:
            plain = Path(folder, model.name)
            export(form, plain)
            held_out = ("--data", self.config.data, "--split", "validation")
            run_verb("calibrate", str(plain), *held_out, "-o", str(model), quiet=True)

    def _export_checkpoint(self, form: Form, output: Path) -> None:
        from sbn_deploy import materialize
        from sbn_deploy.export import export_checkpoint

        export_checkpoint(self.config.checkpoint, output, materialize.Form(**form.options))

    def _export_network(self, form: Form, output: Path) -> None:
        from sbn_deploy import materialize
        from sbn_deploy.data import load
        from sbn_deploy.export.network import export_network
        from sbn_deploy.networks import preprocessing

        images = load(self.config.data, "test")
        shapes = [(1, *images.input_shape)]
        export_network(
            self.config.network,
            output,
            materialize.Form(**form.options),
            checkpoint=self.config.checkpoint,
            shapes=shapes,
            classes=images.classes,
            preprocess=preprocessing.parse(self.config.preprocess, shapes) or images.preprocess,
        )

    def _export_twin(self) -> None:
        from sbn_deploy.benchmark.float_baselines import export_fp32, quantise_int8
        from sbn_deploy.data import load
        from sbn_deploy.train import checkpoint

        assert self.config.twin is not None
        network, _ = checkpoint.load(self.config.twin)
        images = load(self.config.data, "train")
        fp32, int8 = (self._model(name) for name in TWINS)
        export_fp32(network, images.input_shape, fp32)
        quantise_int8(fp32, int8, images.inputs()[:CALIBRATION_IMAGES])

    def _evaluate(self, name: str) -> None:
        options = ["--data", self.config.data]
        if self.config.images is not None:
            options += ["--images", str(self.config.images)]
        run_verb("evaluate", str(self._model(name)), *options, "-o", str(self._evaluation(name)))

    def _time(self, models: Sequence[str], engine: str, threads: int) -> None:
        batch, compare = ",".join(map(str, self.config.batch)), []
        if engine != SBN:
            # What they are compared with runs in the same turns.
            models = [form.name for form in self.forms if not form.stochastic]
            batch, compare = "1", ["--compare", engine]
        run_verb(
            "benchmark",
            *(str(self._model(name)) for name in models),
            *("--threads", str(threads), "--batch", batch, "--runs", str(self.config.runs)),
            *compare,
            *self.remote,
            *("-o", str(self._benchmark(engine, threads))),
        )

    def _model(self, name: str) -> Path:
        return self.folder / "models" / f"{name}.onnx"

    def _evaluation(self, name: str) -> Path:
        return self.folder / "evaluations" / f"{name}.json"

    def _benchmark(self, engine: str, threads: int) -> Path:
        # An address in a name, which may hold no slash.
        where = "".join(f"-{quote(word, safe='@')}" for word in self.remote[1:2])
        return self.folder / "benchmarks" / f"{engine}-threads{threads}{where}.json"


def _state(path: Path) -> dict[str, Any]:
    state = parse_json(path.read_bytes(), path, ConfigError, "remove its folder")
    return state if isinstance(state, dict) else {}


def _candidate(point: Point) -> Candidate:
    return Candidate(
        model=point.model,
        sha256=point.sha256,
        engine=point.timing.engine,
        threads=point.timing.threads,
        batch=point.timing.batch,
        accuracy=None if point.accuracy is None else point.accuracy.value,
        p50_ms=point.timing.p50_ms,
        on_front=point.on_front,
    )
