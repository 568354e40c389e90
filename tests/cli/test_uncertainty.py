"""`sbn predict` and `sbn evaluate` on models that draw noise."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import Session

from ..command import sbn
from ..small_models import CLASSES, StochasticClassifier, random_images


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    np.save(path, random_images(20))
    return path


def test_uncertainty(noisy: Path, images: Path) -> None:
    outcome = sbn(
        *("predict", noisy, images, "--uncertainty", "--samples", "9", "--seed", "3", "--json")
    )
    assert outcome.status == 0, outcome
    session = Session(noisy)
    x = session.preprocess(np.load(images))
    expected = session.predict(x, return_uncertainty=True, samples=9, seed=3)
    assert len(outcome.json) == len(x)
    for index, answer in enumerate(outcome.json):
        assert answer["top"][0]["class"] == CLASSES[expected.label[index]]
        for name in ("entropy", "mutual_information", "agreement"):
            assert answer[name] == getattr(expected, name)[index]
        assert "class" not in answer


def test_rejection(noisy: Path, images: Path) -> None:
    arguments = ("predict", noisy, images, "--min-confidence", "0.8")
    answers = sbn(*arguments, "--json").json
    rejected = [answer["class"] is None for answer in answers]
    assert 0 < sum(rejected) < len(answers)
    for answer in answers:
        best = answer["top"][0]
        assert answer["class"] == (best["class"] if best["probability"] >= 0.8 else None)
    lines = sbn(*arguments).stdout.splitlines()[1:]
    assert ["rejected" in line for line in lines] == rejected


def test_until(noisy: Path, images: Path) -> None:
    arguments = ("predict", noisy, images, "--until", "0.99", "--samples", "20")
    answers = sbn(*arguments, "--json").json
    session = Session(noisy)
    x = session.preprocess(np.load(images))
    expected = session.predict_until(x, confidence=0.99, max_samples=20)
    assert [answer["samples_used"] for answer in answers] == expected.samples_used.tolist()
    lines = sbn(*arguments, "--uncertainty").stdout.splitlines()
    for column in ("entropy", "mutual information", "agreement", "samples used"):
        assert column in lines[0]
    assert len(lines) == 1 + len(answers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "0"], "samples must be 1 to 65536, not 0"),
        (["--samples", "-4"], "samples must be 1 to 65536, not -4"),
        (["--samples", "70000"], "samples must be 1 to 65536, not 70000"),
        (["--seed", "-1"], "seed must be 0 to 2^63 - 1, not -1"),
        (["--until", "1"], "confidence must be at least 0.5 and below 1, not 1.0"),
        (["--until", "0.9", "--samples", "0"], "max_samples must be 1 to 65536, not 0"),
        (["--samples", "many"], "--samples: invalid int value: 'many'"),
        (["--min-confidence", "90"], "--min-confidence: '90' is not a number from 0 to 1"),
        (["--until", "sure"], "--until: 'sure' is not a number from 0 to 1"),
    ],
)
def test_unfit_options(noisy: Path, images: Path, arguments: list[str], message: str) -> None:
    assert message in sbn("predict", noisy, images, *arguments).refused()


@pytest.mark.parametrize("arguments", [["--samples", "3"], ["--seed", "1"], ["--until", "0.9"]])
def test_model_without_noise(model: Path, images: Path, arguments: list[str]) -> None:
    line = sbn("predict", model, images, *arguments).refused()
    assert "has no noise; export it with `--activations stochastic`" in line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    labels = np.tile([0, 1, 2], 40)
    np.savez(path, images=random_images(len(labels)), labels=labels)
    return path


def test_evaluate(noisy: Path, data: Path) -> None:
    arguments = ("evaluate", noisy, "--data", f"npz:{data}", "--samples", "6", "--seed", "2")
    result = sbn(*arguments, "--json").json
    assert (result["samples"], result["seed"]) == (6, 2)
    assert result["scores"]["samples"] == 24
    exported = sbn(*arguments[:4], "--images", "7", "--json").json
    assert (exported["samples"], exported["seed"]) == (4, 7)
    assert exported["scores"]["samples"] == 7


@pytest.mark.parametrize("unknown", [["--shift", "rotate:0.5"], ["--ood"]])
def test_sweep(noisy: Path, model: Path, data: Path, tmp_path: Path, unknown: list[str]) -> None:
    if unknown == ["--ood"]:
        unknown = ["--ood", f"npz:{data}"]
    plot = tmp_path / "sweep.png"
    arguments = ("evaluate", model, noisy, "--data", f"npz:{data}", *unknown)
    sweep = ("--sweep-samples", "1,4,16", "--plot", plot)
    outcome = sbn(*arguments, *sweep, "--json")
    assert outcome.status == 0, outcome
    result = outcome.json
    assert [(row["variant"], row["networks"]) for row in result["rows"]] == [
        ("small", 1),
        ("noisy", 1),
        ("noisy", 4),
        ("noisy", 16),
    ]
    assert result["anytime"][0]["max_samples"] == 8
    assert len(result["curves"]) == 2
    assert 0 <= result["rows"][-1]["auroc_mutual_information"] <= 1
    assert plot.read_bytes().startswith(b"\x89PNG")
    if unknown[:1] == ["--ood"]:
        assert result["rows"][-1]["auroc_entropy"] == 0.5
    table = sbn(*arguments, *sweep[:2]).stdout
    assert "AUROC MI" in table
    assert "samples used" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep-samples", "4,2"], "'4,2' is not in ascending order"),
        (["--sweep-samples", "1,1"], "'1,1' is not in ascending order"),
        (["--sweep-samples", "0,2"], "'0' must be a whole number of at least 1"),
        (["--sweep-samples", ""], "'' must be a whole number"),
        (["--sweep-samples", "1,70000"], "number of samples must be 1 to 65536, not 70000"),
        (["--sweep-samples", "2", "--samples", "3"], "exclude each other"),
        (["--sweep-samples", "2", "--shift", "blur", "--ood", "digits"], "exclude each other"),
        (["--sweep-samples", "2", "--confidence", "0.1"], "confidence must be at least 0.5"),
        (["--sweep-samples", "2", "--seed", "-1"], "seed must be 0 to 2^63 - 1, not -1"),
        (["--sweep-samples", "2", "--shift", "warp"], "unknown shift 'warp'"),
        (["--sweep-samples", "2", "--members", "3"], "--members is for checkpoints"),
        (["--sweep-samples", "2", "--plot", "none/x.png"], "none: no such folder"),
        (["--plot", "x.png"], "--plot needs --sweep-samples"),
        (["other.onnx"], "several models need --sweep-samples"),
        (["c.safetensors", "--sweep-samples", "2"], "either one checkpoint or models"),
    ],
)
def test_unfit_sweeps(noisy: Path, data: Path, arguments: list[str], message: str) -> None:
    assert message in sbn("evaluate", noisy, *arguments, "--data", f"npz:{data}").refused()


def test_checkpoint_without_a_sweep() -> None:
    message = sbn("evaluate", "checkpoint.safetensors").refused()
    assert "checkpoint.safetensors is a checkpoint; export it with `sbn export`" in message


def test_plot_without_matplotlib(noisy: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text(
        'raise ModuleNotFoundError("No module named matplotlib", name="matplotlib")\n'
    )
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    message = sbn(
        *("evaluate", noisy, "--data", f"npz:{data}", "--sweep-samples", "1"),
        *("--plot", tmp_path / "plot.png"),
        PYTHONPATH=paths,
    ).refused()
    assert "sbn-deploy[report]" in message
