"""The steps of a sweep. Each writes one file; a step whose file exists is finished.

Models are evaluated and timed by `sbn evaluate` and `sbn benchmark` in processes of their own,
as anyone who repeats a figure would run them; they write their output when it is complete, so a
killed sweep resumes with the first unfinished step.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sbn_deploy.engines.table import ENGINES, LCE, SBN
from sbn_deploy.machine.describe import describe
from sbn_deploy.reading.text import parse_json
from sbn_deploy.records.files import load_all, save
from sbn_deploy.records.measurement import head
from sbn_deploy.records.sweep import Candidate, Limits
from sbn_deploy.records.sweep import Sweep as Answer
from sbn_deploy.remote.target import file_name
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
HERE = ""
"""Stands for this machine among devices."""
REPORT = "report.html"
TWINS = ("fp32", "int8")
CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class Step:
    """What makes files, and what to say about it."""

    title: str
    outputs: Sequence[Path]
    make: Callable[[], None]


class Sweep:
    """A sweep in a folder: `models/`, `evaluations/`, `benchmarks/`, the answer and the report.

    Args:
        devices: where to time, by name the address for `--remote`; none to time here.
        remote: further options of `sbn benchmark` that go with it.

    Attributes:
        failed: names of devices that timing failed on; the others go on.

    Raises:
        ConfigError: the checkpoint cannot be read, or the folder holds another sweep.
        OutputError: the folder cannot be written to.
    """

    def __init__(
        self,
        config: SweepConfig,
        folder: Path,
        devices: Mapping[str, str] | None = None,
        remote: Sequence[str] = (),
    ) -> None:
        from sbn_deploy.networks.loading import header_of

        self.config, self.folder = config, folder
        self.devices, self.remote = devices or {}, remote
        self.failed: list[str] = []
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
            Step(f"exporting {form.name}", [self._model(form.name)], partial(self._export, form))
            for form in self.forms
        ]
        if self.config.twin is not None:
            models += TWINS
            found.append(Step("exporting the fp32 twin", [self._model("int8")], self._export_twin))
        found += [
            Step(f"classifying with {one}", [self._evaluation(one)], partial(self._evaluate, one))
            for one in models
        ]
        where = f" on {', '.join(self.devices)}" if self.devices else ""
        for engine, threads in self._loads():
            title = f"timing in {engine}, threads: {threads}{where}"
            files = [self._benchmark(engine, threads, at) for at in self.devices or [HERE]]
            found.append(Step(title, files, partial(self._time, models, engine, threads)))
        return found

    def run(self, say: Callable[[str], None]) -> None:
        """Does what is not done yet.

        Raises SbnError when a step fails; what was done before it is kept.
        """
        steps = self.steps()
        for number, step in enumerate(steps, 1):
            done = all(path.is_file() for path in step.outputs)
            say(f"{number}/{len(steps)} {step.title}{': done before' if done else ''}")
            if not done:
                step.outputs[0].parent.mkdir(parents=True, exist_ok=True)
                self._do(step)

    def answers(
        self, limits: Limits, say: Callable[[str], None]
    ) -> dict[str, tuple[Answer, Decision]]:
        """What to ship to each device that did not fail, or HERE, of a sweep that has run; writes
        that and the report.

        Raises SbnError if that fails.
        """
        places = [name for name in self.devices or [HERE] if name not in self.failed]
        accuracies = [self._evaluation(form.name) for form in self.forms]
        if self.config.twin is not None:
            accuracies += map(self._evaluation, TWINS)
        times = {at: [self._benchmark(*load, at) for load in self._loads()] for at in places}
        found = {at: self._answer(at, accuracies + times[at], limits, say) for at in places}
        files = [*accuracies, *(path for at in places for path in (*times[at], self._saved(at)))]
        run_verb("report", *map(str, files), "-o", str(self.folder / REPORT), quiet=True)
        return found

    def _answer(
        self, at: str, files: Sequence[Path], limits: Limits, say: Callable[[str], None]
    ) -> tuple[Answer, Decision]:
        report = collect(load_all(files, say))
        if not report.comparisons:
            raise ConfigError(" ".join(report.notes))
        # The report opens with the answer to its first comparison, by the same decision.
        points = report.comparisons[0].points
        decision = decide(points, limits)
        answer = Answer(
            **head(describe()),
            device=at or None,
            checkpoint_sha256=self.checkpoint_sha256,
            limits=limits,
            candidates=tuple(map(_candidate, points)),
            ship=None if decision.ship is None else _candidate(decision.ship),
        )
        save(self._saved(at), answer)
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
            models = [form.name for form in self.forms if engine != LCE or not form.stochastic]
            compare = ["--compare", engine]
            if ENGINES[engine].one_image:
                batch = "1"
        words = [
            "benchmark",
            *(str(self._model(name)) for name in models),
            *("--threads", str(threads), "--batch", batch, "--runs", str(self.config.runs)),
            *compare,
        ]
        if not self.devices:
            run_verb(*words, "-o", str(self._benchmark(engine, threads, HERE)))
            return
        files = {at: self._benchmark(engine, threads, at) for at in self.devices}
        missing = [at for at in files if at not in self.failed and not files[at].is_file()]
        if not missing:
            return
        for at in missing:
            words += ["--remote", self.devices[at]]
        try:
            run_verb(*words, *self.remote, "-o", str(files[missing[0]].parent))
        except SbnError:
            self.failed += [at for at in missing if not files[at].is_file()]
            if len(self.failed) == len(self.devices):
                raise

    def _model(self, name: str) -> Path:
        return self.folder / "models" / f"{name}.onnx"

    def _evaluation(self, name: str) -> Path:
        return self.folder / "evaluations" / f"{name}.json"

    def _loads(self) -> list[tuple[str, int]]:
        """What is timed at once: engine and threads."""
        return [(engine, n) for n in self.config.threads for engine in self.config.engines]

    def _benchmark(self, engine: str, threads: int, at: str) -> Path:
        path = self.folder / "benchmarks" / f"{engine}-threads{threads}"
        return path.with_suffix(".json") if at == HERE else path / f"{file_name(at)}.json"

    def _saved(self, at: str) -> Path:
        """The answer."""
        return self.folder / ("answer.json" if at == HERE else f"answer-{file_name(at)}.json")


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
