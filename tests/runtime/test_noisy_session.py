"""Models that draw noise, as users of `sbn_runtime` see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from sbn_runtime import InputError, ModelError, Prediction, Session, executor
from sbn_runtime.uncertainty import softmax

from ..small_models import Classifier, StochasticClassifier, random_images

SAMPLES = 4


@pytest.fixture(params=[1, 3])
def members(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture
def model(tmp_path: Path, members: int) -> Path:
    return StochasticClassifier.random(members).write(tmp_path / "noisy.onnx", samples=SAMPLES)


@pytest.fixture
def x(model: Path) -> np.ndarray:
    return Session(model).preprocess(random_images(9))


def logits(path: Path, x: np.ndarray, members: int, **draw: Any) -> np.ndarray:
    """[M, S, N, K], member by member and sample by sample."""
    rows = Session(path).run(x, **draw)["member_logits"]
    return rows.reshape(members, -1, *rows.shape[1:])


def test_run_gives_what_onnxruntime_gives(model: Path, x: np.ndarray, members: int) -> None:
    stock = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    session = Session(model)
    assert session.stochastic
    rows, probabilities = stock.run(None, {"input": x})
    outputs = session.run(x)
    assert list(outputs) == ["member_logits", "probabilities"]
    assert outputs["member_logits"].shape == (members * SAMPLES, len(x), 3)
    np.testing.assert_array_equal(outputs["member_logits"], rows)
    np.testing.assert_allclose(outputs["probabilities"], probabilities, rtol=1e-5)
    np.testing.assert_array_equal(session.predict(x), probabilities.argmax(axis=1))
    assert outputs["probabilities"].dtype == np.float32


def test_draws_differ_and_repeat(model: Path, x: np.ndarray, members: int) -> None:
    one = logits(model, x, members, seed=1)
    np.testing.assert_array_equal(logits(model, x, members, seed=1), one)
    np.testing.assert_array_equal(logits(model, x, members), logits(model, x, members, seed=7))
    assert not np.array_equal(logits(model, x, members, seed=2), one)
    assert not np.array_equal(one[:, 0], one[:, 1])
    largest = logits(model, x, members, seed=2**63 - 1, samples=np.int32(1))
    assert largest.shape[1] == 1


def test_fewer_samples_are_the_first_ones(model: Path, x: np.ndarray, members: int) -> None:
    many = logits(model, x, members, samples=11)
    for count in (1, 2, 7):
        np.testing.assert_array_equal(logits(model, x, members, samples=count), many[:, :count])


def test_batches_do_not_change_answers(model: Path, x: np.ndarray) -> None:
    session = Session(model)
    whole = session.run(x)
    for start in range(len(x)):
        one = session.run(x[start : start + 1])
        np.testing.assert_array_equal(one["member_logits"][:, 0], whole["member_logits"][:, start])
        np.testing.assert_array_equal(one["probabilities"][0], whole["probabilities"][start])


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 1000])
def test_pieces_do_not_change_a_bit(
    tmp_path: Path, x: np.ndarray, members: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_SAMPLES_TOGETHER", 3)
    monkeypatch.setattr(executor, "_CACHE_BYTES", 1000)
    classifier = StochasticClassifier.random(members)
    whole = Session(classifier.write(tmp_path / "whole.onnx"))
    pieces = Session(
        classifier.write(tmp_path / "pieces.onnx", metadata={"working_set": 1000 // rows})
    )
    sizes = []
    compute = pieces._executor._compute

    def record(names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        sizes.append((len(feeds["input"]), int(feeds["samples"])))
        return compute(names, feeds)

    pieces._executor._compute = record  # type: ignore[method-assign]
    expected, found = whole.run(x, samples=7), pieces.run(x, samples=7)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert sum(images * samples for images, samples in sizes) == 7 * len(x)
    for images, samples in sizes:
        assert images * samples <= max(rows, 3)


def test_uncertainty(model: Path, x: np.ndarray) -> None:
    session = Session(model)
    found = session.predict(x, return_uncertainty=True, samples=20, seed=3)
    assert isinstance(found, Prediction)
    rows = softmax(session.run(x, samples=20, seed=3)["member_logits"])
    np.testing.assert_array_equal(found.label, session.predict(x, samples=20, seed=3))
    np.testing.assert_array_equal(
        found.probability, session.predict_proba(x, samples=20, seed=3).max(axis=1)
    )
    np.testing.assert_array_equal(
        found.agreement, (rows.argmax(axis=2) == found.label).mean(axis=0)
    )
    assert found.mutual_information.max() > 0
    for values in vars(found).values():
        assert len(values) == len(x)


def test_uncertainty_of_a_single_network(tmp_path: Path, x: np.ndarray) -> None:
    session = Session(Classifier.random().write(tmp_path / "single.onnx"))
    found = session.predict(x, return_uncertainty=True)
    assert not session.stochastic
    np.testing.assert_array_equal(found.label, session.predict(x))
    assert np.all(found.mutual_information == 0)
    assert np.all(found.agreement == 1)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        ({"samples": 0}, "samples must be 1 to 65536, not 0"),
        ({"samples": -3}, "samples must be 1 to 65536, not -3"),
        ({"samples": 65537}, "samples must be 1 to 65536, not 65537"),
        ({"samples": 10**30}, "samples must be 1 to 65536"),
        ({"samples": 2.5}, "samples must be a whole number, not 2.5"),
        ({"samples": "8"}, "samples must be a whole number, not '8'"),
        ({"samples": True}, "samples must be a whole number, not True"),
        ({"seed": -1}, r"seed must be 0 to 2\^63 - 1, not -1"),
        ({"seed": 2**63}, r"seed must be 0 to 2\^63 - 1, not 9223372036854775808"),
        ({"seed": 0.5}, "seed must be a whole number, not 0.5"),
    ],
)
def test_unfit_draws(model: Path, x: np.ndarray, draw: dict[str, Any], message: str) -> None:
    session = Session(model)
    calls: list[Callable[..., object]] = [session.run, session.predict_proba, session.predict]
    for call in calls:
        with pytest.raises(InputError, match=message) as caught:
            call(x, **draw)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("draw", [{"samples": 3}, {"seed": 0}])
def test_draws_from_a_model_without_noise(
    tmp_path: Path, x: np.ndarray, draw: dict[str, int]
) -> None:
    session = Session(Classifier.random().write(tmp_path / "single.onnx"))
    (name,) = draw
    with pytest.raises(InputError, match=f"{name} does not apply: .*--activations stochastic"):
        session.predict(x, **draw)  # type: ignore[call-overload]


@pytest.mark.parametrize("change", [{"samples": 0}, {"samples": None}, {"noise_seed": "x"}])
def test_damaged_metadata(tmp_path: Path, change: dict[str, Any]) -> None:
    path = StochasticClassifier.random().write(tmp_path / "noisy.onnx", metadata=change)
    with pytest.raises(ModelError, match="does not record how its noise is sampled"):
        Session(path)
