"""Measurements as the measuring verbs write them, computed from drawn times and answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.calibrate import fit
from sbn_deploy.calibrate.measure import Classified, Counts
from sbn_deploy.data import Dataset
from sbn_deploy.evaluate.calibrated import Sets, calibration_scores
from sbn_deploy.evaluate.evaluation import Outcome, figures
from sbn_deploy.evaluate.scores import Answers
from sbn_deploy.machine.describe import describe
from sbn_deploy.records.benchmark import Benchmark, Ratio, Settings, Timing
from sbn_deploy.records.evaluation import (
    CalibrationScores,
    Data,
    Evaluation,
    Metric,
    NamedScore,
    Skipped,
    TaskEvaluation,
)
from sbn_deploy.records.files import save
from sbn_deploy.records.measurement import Measurement, Model, head
from sbn_deploy.records.profile import Bottleneck, Layer, Peak, Profile
from sbn_deploy.records.remote import Remote
from sbn_deploy.tasks import find
from sbn_runtime import Calibration

RESAMPLES = 200
SERVER = {"cpu": "Xeon Gold 6338", "isa": "avx512", "cores": 4, "id": "server"}
BOARD = {"cpu": "Raspberry Pi 5 Model B, Cortex-A76", "isa": "neon", "cores": 4, "id": "board"}
PHONE = {"cpu": "Phone 1, SM1234", "isa": "neon", "cores": 8, "id": "0A1B2C"}
DIGITS = tuple("0123456789")
CIFAR = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
HERE = describe()


def model(name: str, **said: Any) -> Model:
    """The facts of a model that is made up."""
    facts: dict[str, Any] = {
        "name": name,
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest(),
        "bytes": 30_127,
        "arch": "cifar-vgg",
        "weights": "threshold",
        "seed": None,
        "members": 1,
        "activations": "deterministic",
        "noise_seed": None,
        "samples": 1,
        "checkpoint_sha256": hashlib.sha256(b"checkpoint").hexdigest(),
        "trained_on": "cifar10",
    }
    return Model(**facts | said)


def begin(machine: Mapping[str, Any], command: str) -> dict[str, Any]:
    """The first entries of a measurement, on a machine that is made up."""
    return head(replace(HERE, **machine)) | {"command": command}


def remote(host: str, *, differing_labels: int | None = None) -> Remote:
    """A device that was reached over a connection."""
    return Remote(
        host=host,
        device={},
        load_average_before=0.0,
        program="sbn_deploy-0.1.0-py3-none-any.whl",
        program_sha256="0" * 64,
        commands=(),
        differing_labels=differing_labels,
        here=HERE,
    )


@dataclass(frozen=True)
class Case:
    """What is timed, and about how long it takes."""

    model: Model
    ms: float
    engine: str = "sbn"
    threads: int = 1
    batch: int = 1


def benchmark(
    cases: Sequence[Case],
    *,
    machine: Mapping[str, Any] = SERVER,
    rounds: int = 40,
    spread: float = 0.02,
    seed: int = 0,
    unstable: Sequence[str] = (),
) -> Benchmark:
    """The measurement of calls drawn around each case's time, some of them far above it."""
    rng = np.random.default_rng(seed)
    weather = rng.normal(0, spread, rounds)
    taken = [
        case.ms * np.exp(weather + rng.normal(0, spread, rounds) + rng.exponential(spread, rounds))
        for case in cases
    ]
    medians = [_bootstrap(ms, rng) for ms in taken]
    models = list({case.model.sha256: case.model for case in cases}.values())
    results, ratios = [], []
    for case, ms, drawn in zip(cases, taken, medians, strict=True):
        low, high = np.percentile(drawn, (2.5, 97.5))
        p50, p90, p99 = map(float, np.percentile(ms, (50, 90, 99)))
        results.append(
            Timing(
                model=case.model.name,
                engine=case.engine,
                threads=case.threads,
                batch=case.batch,
                runs=rounds,
                p50_ms=p50,
                prediction_low_ms=float(low),
                prediction_high_ms=float(high),
                p90_ms=p90,
                p99_ms=p99,
                min_ms=float(ms.min()),
                images_per_s=1e3 * case.batch / p50,
                start_ms=20 + 3 * case.ms,
                peak_bytes=60_000_000 + case.model.bytes * (20 if case.engine != "sbn" else 1),
                file_bytes=case.model.bytes * (16 if case.engine != "sbn" else 1),
                spread=float(np.subtract(*np.percentile(ms, (75, 25)))) / 2 / p50,
                drift=0.0,
            )
        )
        base = _base(cases, case)
        if base is not None and base != cases.index(case):
            both = taken[cases.index(case)] / taken[base]
            drawn = _bootstrap(both, rng)
            ratios.append(
                Ratio(
                    model=case.model.name,
                    engine=case.engine,
                    threads=case.threads,
                    batch=case.batch,
                    ratio=float(np.median(both)),
                    prediction_low=float(np.percentile(drawn, 2.5)),
                    prediction_high=float(np.percentile(drawn, 97.5)),
                )
            )
    return Benchmark(
        **begin(machine, f"sbn benchmark {models[0].file} --compare fp32 -o run.json"),
        models=tuple(models),
        settings=Settings(threads=(1,), batch=(1,), runs=rounds, warmup=10, max_seconds=None),
        results=tuple(results),
        ratios=tuple(ratios),
        unstable=tuple(unstable),
        rule="unstable if an engine's spread is above 10% of its median",
    )


def answers(
    images: int, classes: int, skill: float, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities [N, K] and labels [N] of a classifier, the better the more `skill`."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(0, 1, (images, classes))
    # Classes next to each other look alike.
    logits[np.arange(images), labels ^ 1 if classes > 1 else labels] += 0.35 * skill
    logits[np.arange(images), labels] += skill
    shares = np.exp(1.4 * logits)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32), labels


def evaluation(
    facts: Model,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    data: str = "cifar10",
    machine: Mapping[str, Any] = SERVER,
    samples: int | None = None,
    skipped: Sequence[Skipped] = (),
    calibrated: bool = False,
) -> Evaluation:
    """The measurement of a model that gave these answers, or was calibrated on half of them."""
    known = None
    if calibrated:
        probabilities, labels, known = _calibrated(probabilities, labels)
    outcome = Outcome(Answers.of(probabilities, labels), list(skipped), 1.5, known)
    images = Dataset(data, np.zeros((len(labels), 1), np.float32), labels, tuple(classes), None)
    return Evaluation(
        **begin(machine, f"sbn evaluate {facts.file} --data {data} -o accuracy.json"),
        model=facts,
        engine="sbn",
        samples=facts.samples if samples is None else samples,
        seed=0,
        **figures(outcome, images, data, classes),
    )


def _calibrated(
    mean: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64], CalibrationScores]:
    """One half of the answers, calibrated on the other."""
    own, other = np.arange(len(labels)).reshape(-1, 2).T
    wanted = Counts((1,), 1, None, 1)
    u = np.zeros(len(own))
    means = mean[np.newaxis, own].astype(np.float64)
    fitted = fit.scaling(means, labels[own], wanted)
    quantiles = fit.set_quantiles(Classified(means, means[:, :, 0], u), labels[own], fitted)
    known = Calibration(
        task="classification",
        weights_sha256="0" * 64,
        data="cifar10",
        split="validation",
        images=len(own),
        networks=(1,),
        measured=fitted.measured,
        levels=fit.levels(len(own)),
        temperatures=fitted.temperatures,
        offsets=fitted.offsets,
        quantiles=quantiles,
        by_class=None,
        class_networks=1,
        unknown=None,
        intervals=None,
    )
    p, truth = known.probabilities(mean[other], 1).astype(np.float32), labels[other]
    before, sets = Answers.of(mean[other], truth), Sets.of(known, 1, p, truth)
    return p, truth, calibration_scores(known, 1, before, sets, mean.shape[1])


def task_evaluation(
    facts: Model, task: str, values: Sequence[float | None], *, data: str = "npz:data.npz"
) -> TaskEvaluation:
    """The measurement of a model of another task, with these values of its metrics."""
    names = {"multilabel": ("red", "green"), "segmentation": ("sky", "sea")}.get(task, ())
    scores = {"multilabel": {"average_precision": 0.75, "f1": 0.5}, "segmentation": {"iou": 0.25}}
    return TaskEvaluation(
        **begin(SERVER, f"sbn evaluate {facts.file} --data {data} -o task.json"),
        task=task,
        model=facts,
        engine="sbn",
        samples=facts.samples,
        data=Data(name=data, spec=data, images=50, classes=names),
        metrics=tuple(
            Metric(key=m.key, title=m.title, form=m.form, better=m.better, value=value)
            for m, value in zip(find(task).metrics, values, strict=True)
        ),
        per_class=tuple(NamedScore(name=name, count=7, **scores[task]) for name in names),
        standard_deviation=0.125 if facts.members > 1 and not names else None,
        seconds=0.5,
        images_per_s=100.0,
    )


def profile(
    facts: Model,
    layers: Sequence[tuple[str, str, int]],
    *,
    machine: Mapping[str, Any] = SERVER,
    seed: int = 0,
) -> Profile:
    """The measurement of layers given by name, kind and millions of MACs (0 for none)."""
    rng = np.random.default_rng(seed)
    peak = {"binary": 4096.0, "int8": 128.0, "float": 32.0}
    ghz = 2.1
    entries: list[Layer] = []
    for name, kind, millions in layers:
        reached = rng.uniform(0.25, 0.85)
        macs = millions * 1_000_000
        cycles = macs / (peak[kind] * reached) if macs else rng.uniform(5e3, 4e4)
        entries.append(
            Layer(
                name=name,
                op={"binary": "sbn.Conv", "int8": "sbn.PixelConv"}.get(kind, "Add"),
                kind=kind,
                input_shape=(1, 16, 16, 128),
                output_shape=(1, 16, 16, 128),
                **{f"{k}_macs": macs if k == kind else 0 for k in ("binary", "int8", "float")},
                us=cycles / ghz / 1e3,
                share=0.0,
                macs_per_cycle=macs / cycles if macs else None,
                percent_of_peak=100 * reached if macs else None,
                bytes=32_768,
                why="" if kind == "binary" else "its input is not a tensor of signs",
            )
        )
    total = sum(entry.us for entry in entries)
    entries = [replace(entry, share=entry.us / total) for entry in entries]
    slowest = max(entries, key=lambda entry: entry.us)
    return Profile(
        **begin(machine, f"sbn profile {facts.file} -o profile.json"),
        model=facts,
        threads=1,
        batch=1,
        runs=200,
        isa=machine["isa"],
        peak=Peak(binary_macs_per_cycle=4096.0, ghz=ghz, measured_on=machine["isa"]),
        layers=tuple(entries),
        call_us=0.97 * total,
        profiler_us=1.8,
        bottleneck=Bottleneck(name=slowest.name, why=f"{slowest.share:.0%} of the time"),
    )


def write(folder: Path, **measurements: Measurement) -> list[Path]:
    """Saves measurements under their names."""
    return sorted(write_all(folder, measurements).glob("*.json"))


def write_all(folder: Path, measurements: Mapping[str, Measurement]) -> Path:
    """Saves measurements under their names; returns their folder."""
    folder.mkdir(exist_ok=True)
    for name, record in measurements.items():
        save(folder / f"{name}.json", record)
    return folder


def _base(cases: Sequence[Case], case: Case) -> int | None:
    """Index of what the case is compared with."""
    return next(
        (
            i
            for i, other in enumerate(cases)
            if other.model == cases[0].model
            and other.engine == cases[0].engine
            and (other.threads, other.batch) == (case.threads, case.batch)
        ),
        None,
    )


def _bootstrap(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Medians of resampled values."""
    chosen = rng.integers(0, len(values), (RESAMPLES, len(values)))
    medians: NDArray[np.float64] = np.median(values[chosen], axis=1)
    return medians
