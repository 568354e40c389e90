"""Scores by the number of networks averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_deploy.evaluate import variants as variants_module
from sbn_deploy.evaluate.averaging import Images, Variant, average, steps
from sbn_deploy.evaluate.averaging_plot import draw
from sbn_deploy.evaluate.calibration import negative_log_likelihood
from sbn_deploy.evaluate.ranking import area_under_risk_coverage, auroc
from sbn_deploy.evaluate.scores import BATCH, score
from sbn_deploy.evaluate.temperature import cross_calibrated
from sbn_deploy.materialize import Form
from sbn_deploy.records.averaging import Averaging
from sbn_runtime import InputError, Session, Standardize

from .. import task_models
from ..report import builder
from ..small_models import Classifier, StochasticClassifier, random_images

COUNTS = [1, 2, 4, 8, 16]


def images(count: int = 2 * BATCH + 5) -> Images:
    pixels = random_images(count)
    labels = np.random.default_rng(0).integers(0, 3, count)
    return Images(pixels, labels, random_images(40, seed=1))


def measure(variants: list[Variant], data: Images, counts: list[int]) -> Averaging:
    calls: list[str] = []
    figures = average(variants, data, counts, seed=5, confidence=0.9, report=calls.append)
    result = Averaging(
        **builder.begin(builder.SERVER, "sbn evaluate"), data="d", ood="o", seed=5, **figures
    )
    assert len(calls) == steps(variants, data, counts)
    return result


@pytest.fixture
def variants(tmp_path: Path) -> list[Variant]:
    single = Classifier.random().write(tmp_path / "single.onnx")
    noisy = StochasticClassifier.random().write(tmp_path / "noisy.onnx")
    both = StochasticClassifier.random(3).write(tmp_path / "both.onnx")
    return [
        Variant("thresholded", Session(single)),
        Variant("noise only", Session(noisy)),
        Variant("both", Session(both)),
    ]


def test_rows_are_those_of_separate_runs(variants: list[Variant]) -> None:
    data = images()
    result = measure(variants, data, COUNTS)
    assert result.images == len(data.labels)
    assert [row.networks for row in result.rows] == [1, *COUNTS, *COUNTS]
    single, noisy, _ = (variant.session for variant in variants)
    assert data.shifted is not None
    x, shifted = (noisy.preprocess(pixels) for pixels in (data.pixels, data.shifted))
    first = negative_log_likelihood(single.predict_proba(x), data.labels)
    for row in result.rows[:1]:
        assert row.auroc_mutual_information is None
        assert row.nll_change == row.nll_change_low == row.nll_change_high == 0
        assert row.ece_change == row.ece_change_low == row.ece_change_high == 0
    for row in result.rows[1 : 1 + len(COUNTS)]:
        own = noisy.predict(x, return_uncertainty=True, samples=row.networks, seed=5)
        other = noisy.predict(shifted, return_uncertainty=True, samples=row.networks, seed=5)
        expected = score(own.probabilities, data.labels)
        for name in ("accuracy", "confidence_low", "confidence_high", "nll", "brier", "ece"):
            assert getattr(row, name) == getattr(expected, name)
        losses = negative_log_likelihood(own.probabilities, data.labels)
        assert row.nll_change == pytest.approx((losses - first).mean())
        assert row.nll_low < row.nll < row.nll_high
        assert row.nll_change_low < row.nll_change < row.nll_change_high
        assert row.ece_change == pytest.approx(row.ece - result.rows[0].ece)
        assert row.ece_change_low < row.ece_change_high
        calibrated, temperature = cross_calibrated(own.probabilities, data.labels)
        assert row.temperature == temperature
        assert row.calibrated_nll == score(calibrated, data.labels).nll
        assert row.calibrated_ece == score(calibrated, data.labels).ece
        assert row.aurc == area_under_risk_coverage(own.probability, own.label == data.labels)
        assert row.auroc_entropy == auroc(other.entropy, own.entropy)
        if row.networks > 1:
            assert row.auroc_mutual_information == auroc(
                other.mutual_information, own.mutual_information
            )


def test_members_come_before_further_samples(variants: list[Variant]) -> None:
    data = images(50)
    result = measure(variants[2:], data, [1, 2, 3, 5, 6])
    session = variants[2].session
    x = session.preprocess(data.pixels)
    three = session.predict_proba(x, samples=1, seed=5)
    six = session.predict_proba(x, samples=2, seed=5)
    assert result.rows[2].nll == pytest.approx(score(three, data.labels).nll, rel=1e-6)
    assert result.rows[4].nll == pytest.approx(score(six, data.labels).nll, rel=1e-6)


def test_anytime(variants: list[Variant]) -> None:
    data = images()
    noisy, both = measure(variants, data, COUNTS).anytime, measure(variants, data, [1, 8]).anytime
    assert [row.variant for row in noisy] == ["noise only"]
    (row,) = noisy
    session = variants[1].session
    x = session.preprocess(data.pixels)
    found = session.predict_until(x, confidence=0.9, max_samples=16, seed=5)
    full = session.predict(x, samples=16, seed=5)
    assert row.mean_samples == found.samples_used.mean() < 16
    assert row.accuracy == (found.label == data.labels).mean()
    assert row.full_accuracy == (full == data.labels).mean()
    assert row.kept == pytest.approx(row.accuracy / row.full_accuracy)
    assert row.changed == (found.label != full).mean()
    assert row.confidence_low <= row.accuracy <= row.confidence_high
    assert [row.max_samples for row in both] == [8]


def test_curves(variants: list[Variant]) -> None:
    data = images()
    result = measure(variants, data, COUNTS)
    for curves, row in zip(result.curves, [result.rows[0], *result.rows[5::5]], strict=True):
        assert (curves.variant, curves.networks) == (row.variant, row.networks)
        assert sum(entry.count for entry in curves.reliability) == len(data.labels)
        assert curves.coverage[-1] == 1
        assert curves.risk[-1] == pytest.approx(1 - row.accuracy)


def test_no_shifted_images(variants: list[Variant]) -> None:
    data = Images(random_images(3), np.array([0, 1, 2]))
    for row in measure(variants, data, [2]).rows:
        assert row.auroc_entropy is row.auroc_mutual_information is None


def test_one_image(variants: list[Variant]) -> None:
    (row,) = measure(variants[1:2], Images(random_images(1), np.array([0])), [4]).rows
    assert row.nll_low == row.nll == row.nll_high
    assert row.temperature is None


def test_unfit_data(variants: list[Variant]) -> None:
    with pytest.raises(InputError, match="no samples"):
        measure(variants, Images(random_images(0), np.zeros(0, np.int64)), [1])
    with pytest.raises(InputError, match="the model has 3 classes"):
        measure(variants, Images(random_images(1), np.array([3])), [1])


def test_plot(variants: list[Variant], tmp_path: Path) -> None:
    draw(tmp_path / "sweep.png", "a title", measure(variants, images(), COUNTS))
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_forms_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: dict[str, Form] = {}

    def export(checkpoint: Path, output: Path, form: Form) -> None:
        assert checkpoint.name == "checkpoint.safetensors"
        exported[output.stem] = form
        Classifier.random().write(output)

    monkeypatch.setattr("sbn_deploy.export.export_checkpoint", export)
    said: list[str] = []
    found = variants_module.export_variants(
        Path("checkpoint.safetensors"), tmp_path, 20, members=8, seed=3, report=said.append
    )
    assert [variant.name for variant in found] == [
        "thresholded",
        "members only",
        "noise only",
        "both",
    ]
    assert len(said) == 4
    sampled = {"weights": "sample", "seed": 3}
    noisy = {"activations": "stochastic", "noise_seed": 3}
    assert exported == {
        "thresholded": Form(),
        "members-only": Form(**sampled, members=20),
        "noise-only": Form(**noisy, samples=20),
        "both": Form(**sampled, members=8, **noisy, samples=3),
    }


def test_anytime_over_members(tmp_path: Path) -> None:
    """Of an ensemble without noise the members are drawn."""
    said = {"preprocess": Standardize((16,), (0.0,) * 16, (1.0,) * 16).to_json()}
    path = tmp_path / "ensemble.onnx"
    task_models.save(path, task_models.ROWS, "classification", members=12, metadata=said)
    x = task_models.rows(100)
    data = Images(x, Session(path).predict(x))  # type: ignore[arg-type]
    result = measure([Variant("members", Session(path))], data, [1, 4, 12])
    (row,) = result.anytime
    assert (row.max_samples, row.full_accuracy) == (12, 1)
    assert row.mean_samples < 12
    assert row.changed <= 0.1
    assert not measure([Variant("members", Session(path))], data, [4]).anytime
