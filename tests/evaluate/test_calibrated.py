"""What an evaluation says of a calibrated file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.data.stream import of_memory
from sbn_deploy.evaluate.averaging import Images, Variant, average
from sbn_deploy.evaluate.classifier import load_classifier
from sbn_deploy.evaluate.evaluation import Evaluator, figures
from sbn_deploy.evaluate.scores import score
from sbn_deploy.evaluate.tasks import measure, scored
from sbn_runtime import Session
from sbn_runtime.preprocess import preprocess_from

from ..calibrate.made import held_out
from ..calibrations import LEVELS, calibrated, calibration
from ..small_models import PREPROCESS, StochasticClassifier

COUNT = 100


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return calibrated(StochasticClassifier.random(2).write(tmp_path / "noisy.onnx"))


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 8]))
def test_the_mean_is_found_again(seed: int, networks: int) -> None:
    mean = np.random.default_rng(seed).dirichlet(np.ones(3), 5)
    known = calibration()
    found = known.mean(known.probabilities(mean, networks).astype(np.float32), networks)
    np.testing.assert_allclose(found, mean, atol=1e-5)


@pytest.mark.parametrize("samples", [None, 1])
def test_figures(model: Path, samples: int | None) -> None:
    data = held_out(model, COUNT)
    stream = of_memory(data)
    classifier = load_classifier(model, stream, samples=samples)
    outcome = Evaluator(classifier, stream, data.labels, 3, batch=7).run(lambda _: None)
    found = outcome.calibration
    assert found is not None
    session = Session(model)
    x = session.preprocess(data.images)
    raw = score(session.run(x, samples=samples)["probabilities"], data.labels)
    assert found.before.accuracy == raw.accuracy
    assert found.before.nll == pytest.approx(raw.nll, abs=1e-5)
    assert found.before.ece == pytest.approx(raw.ece, abs=1e-5)
    networks = 2 * (samples or 4)
    temperatures = calibration()
    assert found.temperature == temperatures.at(temperatures.temperatures, networks)
    assert [entry.asked for entry in found.sets] == list(LEVELS)
    for entry in found.sets:
        sets = session.predict_set(x, coverage=entry.asked, samples=samples)
        inside = sets.labels[np.arange(COUNT), data.labels]
        assert entry.coverage == inside.mean()
        assert entry.confidence_low < entry.coverage < entry.confidence_high or not inside.any()
        assert entry.size == sets.size.mean()
        assert entry.size_low <= entry.size <= entry.size_high
        assert entry.sizes == tuple(np.bincount(sets.size, minlength=4)[1:])
        for k, value in enumerate(entry.per_class):
            assert value == inside[data.labels == k].mean()
    # As data in memory, which is what inputs other than images are.
    in_memory = replace(data, preprocess=preprocess_from(PREPROCESS))
    measured = measure(session, in_memory, batch=8, samples=samples)
    other = scored(session, in_memory, measured, "drawn", networks)
    assert other["calibration"] == found
    assert other["scores"] == figures(outcome, data, "drawn", data.classes)["scores"]


def test_files_without_calibration_have_no_such_figures(tmp_path: Path) -> None:
    path = StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")
    data = held_out(path, 20)
    classifier = load_classifier(path, of_memory(data))
    outcome = Evaluator(classifier, of_memory(data), data.labels, 3, batch=7).run(lambda _: None)
    assert outcome.calibration is None
    assert figures(outcome, data, "drawn", data.classes)["calibration"] is None


def test_a_sweep_of_a_calibrated_file(model: Path) -> None:
    """Its rows are what the file answers; anytime inference decides by the same labels."""
    data = held_out(model, COUNT)
    variant = Variant("calibrated", Session(model))
    found = average(
        [variant],
        Images(data.images, data.labels),
        [2, 16],
        seed=None,
        confidence=0.999,
        report=lambda _: None,
    )
    x = variant.session.preprocess(data.images)
    for row, samples in zip(found["rows"], (1, 8), strict=True):
        expected = score(variant.session.predict_proba(x, samples=samples), data.labels)
        assert (row.nll, row.ece) == (pytest.approx(expected.nll), pytest.approx(expected.ece))
    assert found["anytime"][0].changed <= 0.02
