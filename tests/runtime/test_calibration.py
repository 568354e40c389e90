"""Calibrations: what their numbers mean, and which files are refused.

`python -m tests.runtime.test_calibration` writes tests/golden/calibration.json, which every
runtime must reproduce: probabilities and scores to 1e-6, sets exactly.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from sbn_runtime import InputError, ModelError, ood
from sbn_runtime.calibrated import Answered
from sbn_runtime.calibration import Calibration, tempered
from sbn_runtime.calibration_json import read
from sbn_runtime.conformal import CLASS_CONDITIONAL, METHODS
from sbn_runtime.uncertainty import softmax

from ..calibrations import LEVELS, calibration, intervals

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "calibration.json"
SEEDS = st.integers(0, 2**32)
PATH = Path("model.onnx")


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6, unique=True), st.integers(1, 600))
def test_between_counts_values_are_linear_in_one_over_n(counts: list[int], networks: int) -> None:
    counts.sort()
    values = np.random.default_rng(networks).normal(size=(len(counts), 2))
    found = calibration(networks=tuple(counts)).at(values, networks)
    for column in range(2):
        # Of 1/n, which falls.
        expected = np.interp(1 / networks, 1 / np.array(counts[::-1]), values[::-1, column])
        assert found[column] == pytest.approx(expected, abs=1e-12)
    if networks in counts:
        np.testing.assert_array_equal(found, values[counts.index(networks)])


@given(SEEDS, st.floats(0.1, 10))
def test_probabilities_are_those_of_the_definition(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    mean = rng.dirichlet(np.full(5, 0.3), 4)
    offsets = rng.normal(0, 1, 5)
    mean[0, 0] = 0
    logits = np.log(np.maximum(mean, 1e-300)) + offsets
    expected = special.softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(tempered(mean, temperature, offsets), expected, atol=1e-12)


@given(SEEDS, st.sampled_from([1, 2, 3, 8, 100]))
def test_the_label_does_not_depend_on_the_number_of_networks(seed: int, networks: int) -> None:
    found = calibration()
    mean = np.random.default_rng(seed).dirichlet(np.ones(3), 20)
    labels = found.probabilities(mean, networks).argmax(axis=1)
    np.testing.assert_array_equal(labels, (mean * found.weights).argmax(axis=1))
    assert found.weights.max() == 1


def test_without_offsets_the_label_is_that_of_the_mean() -> None:
    found = calibration(offsets=np.zeros(3))
    mean = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    np.testing.assert_array_equal(found.probabilities(mean, 4).argmax(axis=1), mean.argmax(axis=1))


@given(SEEDS, st.integers(1, 4))
def test_scores_of_unknown_images(seed: int, networks: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (networks, 5, 4)).astype(np.float32)
    rows = softmax(logits)
    mean = rows.mean(axis=0)
    entropy = special.entr(mean).sum(axis=1)
    expected = {
        "entropy": entropy,
        "mutual_information": entropy - special.entr(rows).sum(axis=2).mean(axis=0),
        "disagreement": 1 - (rows.argmax(axis=2) == mean.argmax(axis=1)).mean(axis=0),
        "energy": -special.logsumexp(logits.astype(float), axis=2).mean(axis=0),
    }
    assert expected.keys() == set(ood.SCORES)
    for name, values in expected.items():
        np.testing.assert_allclose(ood.score(name, rows, logits), values, atol=1e-12)


# In files


def one_network() -> Calibration:
    """Of a file that has no more."""
    rows = {name: table[:1] for name, table in calibration().quantiles.items()}
    return calibration(
        networks=(1,), temperatures=np.ones(1), quantiles=rows, class_networks=1, unknown=None
    )


@pytest.mark.parametrize(
    "found", [calibration(), calibration(by_class=None), one_network(), intervals()]
)
def test_what_is_written_is_read(found: Calibration) -> None:
    text = json.dumps(found.to_json(), allow_nan=False)
    again = read(json.loads(text), PATH)
    assert json.dumps(again.to_json()) == text
    for entry in ("temperatures", "offsets", "by_class", "intervals"):
        np.testing.assert_array_equal(getattr(again, entry), getattr(found, entry))
    assert again.networks == found.networks
    assert isinstance(again.networks[0], int)


def changed(place: str, value: Any) -> dict[str, Any]:
    """A calibration with another value, or none where it is ..., at a place as a.b.0."""
    content: dict[str, Any] = json.loads(json.dumps(calibration().to_json()))
    *path, last = place.split(".")
    inner: Any = content
    for key in path:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[int(last) if isinstance(inner, list) else last] = value
    return content


DAMAGED = [
    *((place, ..., "is missing") for place in calibration().to_json()),
    ("unknown.score", ..., "unknown.score is missing"),
    ("quantiles.raps", ..., "quantiles.raps is missing"),
    ("more", 1, "more is not known"),
    ("quantiles.best", [], "quantiles.best is not known"),
    ("task", "segmentation", "task is 'segmentation'"),
    ("task", 3, "task is not a text"),
    ("task", "regression", "regression needs intervals"),
    ("images", 2.5, "images is not a count"),
    ("images", True, "images is not a count"),
    ("networks", [2, 1, 8], "networks do not rise"),
    ("networks", [1, 2, 2], "networks do not rise"),
    ("networks", [0, 2, 8], "networks do not rise"),
    ("networks", [1, 2.5, 8], "networks are not whole"),
    ("networks", [1, 2], "temperatures are not 2 finite numbers"),
    ("networks", [], "networks do not rise"),
    ("networks", 1, "networks are not n finite numbers"),
    ("levels", [0.5, 0.8, 1], "levels are not below 1"),
    ("levels", [0.5, 0.8, 7], "levels are out of range"),
    ("temperatures.1", 0, "a temperature is not from 0.001 to 1000"),
    ("temperatures.1", -1, "a temperature is not from 0.001 to 1000"),
    ("temperatures.1", 1e6, "a temperature is not from 0.001 to 1000"),
    ("offsets.0", -1e4, "an offset is larger than 1000"),
    ("quantiles.aps.0.1", 1e300, "quantiles.aps are larger than 1e+12"),
    ("temperatures.1", float("nan"), "temperatures are not 3 finite numbers"),
    ("temperatures.1", float("inf"), "temperatures are not 3 finite numbers"),
    ("temperatures.1", 10**400, "temperatures are not 3 finite numbers"),
    ("temperatures.1", "1", "temperatures are not 3 finite numbers"),
    ("temperatures.1", True, "temperatures are not 3 finite numbers"),
    ("temperatures.1", None, "temperatures are not 3 finite numbers"),
    ("temperatures", [[1], [1], [1]], "temperatures are not 3 finite numbers"),
    ("offsets", [1], "classification needs classes"),
    ("offsets", [0, 0, 0, 0], "by_class are not 3 × 3 finite numbers".replace("3 × 3", "3 × 4")),
    ("quantiles", [], "quantiles is not a table"),
    ("quantiles.lac.0", [1, 2], "quantiles.lac are not 3 × 3 finite numbers"),
    ("quantiles.lac", None, "quantiles.lac are not 3 × 3 finite numbers"),
    ("by_class.2", [1, 2], "by_class are not 3 × 3 finite numbers"),
    ("weights_sha256", "12", "weights_sha256 is not a digest"),
    ("measured.ece", "low", "measured.ece is not a finite number"),
    ("measured", 1, "measured is not a table"),
    ("unknown", 1, "unknown is not a table"),
    ("unknown.score", "size", "unknown.score is 'size'"),
    ("unknown.thresholds.0", [1], "unknown.thresholds are not 3 × 3 finite numbers"),
    ("unknown.auroc", 1, "unknown.auroc is not a table"),
    ("unknown.auroc.noise.energy", [], "unknown.auroc.noise.energy is not a finite number"),
    ("intervals", [], "intervals are not 3 × 3 × n finite numbers"),
]


@pytest.mark.parametrize(("place", "value", "reason"), DAMAGED)
def test_damage_is_named(place: str, value: Any, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(changed(place, value), PATH)
    message = str(caught.value)
    assert message.startswith("model.onnx: its calibration is damaged: "), message
    assert reason in message
    assert "calibrate it again with `sbn calibrate`" in message


def test_other_versions_are_refused() -> None:
    with pytest.raises(ModelError, match="has version 2, this program reads 1"):
        read(changed("version", 2), PATH)
    for said in (None, [], "text", 1):
        with pytest.raises(ModelError, match="damaged: it is not a table"):
            read(said, PATH)


def test_what_was_not_measured_is_refused() -> None:
    found = calibration()
    p, u = np.full((2, 3), 1 / 3), np.zeros(2)
    for coverage in (0.85, 1, 0, True, "0.9", None, float("nan")):
        with pytest.raises(InputError, match=r"coverage must be one .*, 0\.5, 0\.8, 0\.9; not"):
            found.prediction_sets(p, 2, coverage, "lac", u)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown method 'best'; choose one of lac, aps, raps"):
        found.prediction_sets(p, 2, 0.9, "best", u)
    with pytest.raises(InputError, match="calibrated for 2 networks, not for 4; leave out samples"):
        found.prediction_sets(p, 4, 0.9, CLASS_CONDITIONAL, u)
    with pytest.raises(InputError, match="need more images of each class than the 500"):
        replace(found, by_class=None).prediction_sets(p, 2, 0.9, CLASS_CONDITIONAL, u)
    with pytest.raises(InputError, match=r"must be one .*, 0\.01, 0\.05, 0\.2; not 0\.3"):
        found.threshold(0.3, 2)
    with pytest.raises(InputError, match="no threshold for unknown images"):
        replace(found, unknown=None).threshold(0.05, 2)


# For other runtimes


def golden() -> dict[str, Any]:
    """Logits of networks, what they are calibrated to, and the sets, by numbers of networks."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (8, 6, 3)).astype(np.float32)
    x = rng.integers(0, 256, (6, 2, 2)).astype(np.uint8)
    found = calibration()
    cases = []
    for networks in (1, 2, 3, 8):
        rows = logits[:networks]
        answered = Answered.of(found, softmax(rows), rows)
        methods = METHODS if networks == found.class_networks else METHODS[:3]
        cases.append(
            {
                "networks": networks,
                "probabilities": answered.probabilities.tolist(),
                "energy": ood.score("energy", answered.rows, rows).tolist(),
                "unknown": {str(share): answered.unknown(share).tolist() for share in (0.01, 0.2)},
                "sets": {
                    method: {
                        str(level): answered.sets(x, level, method).labels.tolist()
                        for level in LEVELS
                    }
                    for method in methods
                },
            }
        )
    return {
        "calibration": found.to_json(),
        "logits": logits.tolist(),
        "inputs": x.tolist(),
        "cases": cases,
    }


def test_golden() -> None:
    expected = json.loads(GOLDEN.read_text())
    found = json.loads(json.dumps(golden()))
    for own, other in zip(found["cases"], expected["cases"], strict=True):
        for name in ("probabilities", "energy"):
            np.testing.assert_allclose(own.pop(name), other.pop(name), rtol=0, atol=1e-12)
    assert found == expected
    sizes = [np.sum(s) for case in found["cases"] for s in case["sets"]["lac"].values()]
    assert len(set(sizes)) > 3, "the sets are all alike"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden()) + "\n")
