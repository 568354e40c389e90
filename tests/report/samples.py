"""Folders of measurements as people have them: a sweep on two machines, and one model."""

from __future__ import annotations

from pathlib import Path

from sbn_deploy.records.measurement import Measurement, Model

from . import builder

LAYERS = (
    ("stem/conv", "int8", 12),
    *((f"block{i}/conv{j}", "binary", 75 * j) for i in range(4) for j in (1, 2)),
    ("pool", "float", 0),
    ("classifier/dense", "float", 1),
    ("softmax", "float", 0),
)


def sweep(folder: Path) -> Path:
    """One checkpoint's forms on a server, with fp32 beside them, and on a board."""
    forms = [("threshold", 1, 1), *(("sample", m, 1) for m in (1, 2, 4, 8, 16))]
    forms += [("threshold", 1, s) for s in (1, 2, 4, 8, 16, 32)]
    forms += [("sample", m, s) for m in (2, 4, 8) for s in (2, 4)]
    for number, (weights, members, samples) in enumerate(forms):
        noisy = number > 5
        facts = builder.model(
            f"vgg-{weights}-m{members}" + (f"-s{samples}" if noisy else ""),
            weights=weights,
            members=members,
            activations="stochastic" if noisy else "deterministic",
            samples=samples,
            bytes=1_180_000 * members,
        )
        networks = members * samples
        ms = 0.18 + 0.36 * networks * (0.8 if noisy else 1)
        skill = 2.6 + 0.4 * (1 - networks**-0.6) + (0.08 if noisy else 0)
        _measure(folder, facts, ms, skill, number)
    return folder


def _measure(folder: Path, facts: Model, ms: float, skill: float, seed: int) -> None:
    cases = [builder.Case(facts, ms, threads=threads) for threads, ms in ((1, ms), (2, 0.62 * ms))]
    if seed == 0:
        baselines = (("onnxruntime-fp32", 12.0), ("onnxruntime-int8", 3.4), ("lce", 10.3))
        cases += [builder.Case(facts, ms * k, engine=engine) for engine, k in baselines]
    probabilities, labels = builder.answers(10_000, 10, skill, seed)
    measured: dict[str, Measurement] = {
        "speed": builder.benchmark(
            cases,
            seed=seed,
            unstable=("the times of sbn spread by 12%",) if seed == 3 else (),
        ),
        "accuracy": builder.evaluation(facts, probabilities, labels, builder.CIFAR),
    }
    if seed in (0, 2, 4):
        slow = [builder.Case(facts, 9 * case.ms, case.engine, case.threads) for case in cases[:2]]
        measured["board"] = builder.benchmark(slow, machine=builder.BOARD, seed=seed)
    if seed == 0:
        measured["layers"] = builder.profile(facts, LAYERS)
    builder.write(folder, **{f"{facts.name}.{name}": entry for name, entry in measured.items()})


def single(folder: Path) -> Path:
    """One small model with its baselines, in batches of two sizes."""
    facts = builder.model("digits", arch="digits-cnn", trained_on="digits")
    cases = [
        builder.Case(facts, ms * factor, engine, batch=batch)
        for batch, factor in ((1, 1.0), (8, 6.5))
        for engine, ms in (("sbn", 0.021), ("onnxruntime-fp32", 0.11), ("onnxruntime-int8", 0.064))
    ]
    probabilities, labels = builder.answers(720, 10, 5.5)
    builder.write(
        folder,
        speed=builder.benchmark(cases),
        accuracy=builder.evaluation(
            facts, probabilities, labels, builder.DIGITS, data="digits", calibrated=True
        ),
        layers=builder.profile(facts, LAYERS[:6]),
    )
    return folder
