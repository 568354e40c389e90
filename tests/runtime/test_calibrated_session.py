"""Calibrated files in `Session`."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from sbn_runtime import InputError, Interval, ModelError, PredictionSet, Session
from sbn_runtime.calibrated import Answered
from sbn_runtime.conformal import scores, uniform
from sbn_runtime.engines import ENGINES
from sbn_runtime.members import Members
from sbn_runtime.uncertainty import softmax
from sbn_runtime.within import Pace

from .. import task_models
from ..calibrations import calibrated, calibration, intervals, write
from ..small_models import Classifier, StochasticClassifier, random_images

IMAGES = 30


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "single.onnx")


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    """Members without noise, of rows of numbers."""
    return task_models.save(
        tmp_path / "ensemble.onnx", task_models.ROWS, "classification", members=7
    )


def inputs(path: Path, count: int = IMAGES) -> np.ndarray:
    session = Session(path)
    if session.inputs[0].shape[1:] == (task_models.FEATURES,):
        return task_models.rows(count)
    return session.preprocess(random_images(count))


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_answers_are_calibrated(noisy: Path, samples: int) -> None:
    x, before = inputs(noisy), Session(noisy)
    session = Session(calibrated(noisy))
    found = calibration()
    raw = before.run(x, samples=samples)
    rows = softmax(raw["member_logits"])
    expected = found.probabilities(rows.mean(axis=0), 2 * samples)
    np.testing.assert_array_equal(
        session.predict_proba(x, samples=samples), expected.astype(np.float32)
    )
    np.testing.assert_array_equal(session.predict(x, samples=samples), expected.argmax(axis=1))
    answer = session.predict(x, return_uncertainty=True, samples=samples)
    plain = before.predict(x, return_uncertainty=True, samples=samples)
    np.testing.assert_array_equal(answer.probability, expected.max(axis=1).astype(np.float32))
    np.testing.assert_allclose(answer.entropy, -(expected * np.log(expected)).sum(axis=1))
    np.testing.assert_array_equal(answer.mutual_information, plain.mutual_information)
    # `run` gives what the file computes, calibrated or not.
    for name, value in session.run(x, samples=samples).items():
        np.testing.assert_array_equal(value, raw[name])


def test_a_single_network(single: Path) -> None:
    x = inputs(single)
    logits = Session(single).run(x)["logits"]
    session = Session(calibrated(single))
    expected = calibration().probabilities(softmax(logits), 1)
    np.testing.assert_array_equal(session.predict_proba(x), expected.astype(np.float32))


@pytest.mark.parametrize("method", ["lac", "aps", "raps", "class-conditional"])
def test_sets(noisy: Path, method: str) -> None:
    path = calibrated(noisy)
    session, x = Session(path), inputs(path)
    samples = 1 if method == "class-conditional" else None
    found = session.predict_set(x, coverage=0.8, method=method, samples=samples)
    assert isinstance(found, PredictionSet)
    assert (found.coverage, found.method) == (0.8, method)
    rows = softmax(session.run(x, samples=samples)["member_logits"])
    p = calibration().probabilities(rows.mean(axis=0), len(rows))
    limit = {"class-conditional": np.array([0.5, 0.25, 0.75]), "lac": 0.5}.get(method, 0.75)
    np.testing.assert_array_equal(found.labels, scores(p, method, uniform(x)) <= limit)
    np.testing.assert_array_equal(found.size, found.labels.sum(axis=1))
    assert found.size.min() >= 1
    np.testing.assert_array_equal(found.probabilities, session.predict_proba(x, samples=samples))
    # An image's set does not depend on the batch it comes in.
    for image in range(3):
        one = session.predict_set(
            x[image : image + 1], coverage=0.8, method=method, samples=samples
        )
        np.testing.assert_array_equal(one.labels[0], found.labels[image])


def test_unknown_images_get_no_label(noisy: Path) -> None:
    x = inputs(noisy)
    energy = -np.log(np.exp(Session(noisy).run(x)["member_logits"]).sum(axis=2)).mean(axis=0)
    # Eight networks: the last row.
    known = calibration().unknown
    assert known is not None
    middle = float(np.sort(energy)[IMAGES // 2 : IMAGES // 2 + 2].mean())
    thresholds = np.tile([np.sort(energy)[-2], middle, energy.min() - 1], (3, 1))
    path = calibrated(
        noisy, calibration(unknown=type(known)("energy", known.shares, thresholds, {}))
    )
    session = Session(path)
    labels = session.predict(x)
    for reject, expected in (("unknown", energy > middle), (0.05, energy > middle)):
        np.testing.assert_array_equal(
            session.predict(x, reject=reject), np.where(expected, -1, labels)
        )
    assert (session.predict(x, reject=0.01) == -1).sum() == 1
    assert (session.predict(x, reject=0.2) == -1).all()
    plain = session.predict(x, return_uncertainty=True)
    answer = session.predict(x, return_uncertainty=True, reject=0.05)
    assert 0 < (answer.label == -1).sum() < IMAGES
    np.testing.assert_array_equal(answer.probability, plain.probability)
    for wrong in (0.3, "strange", 0):
        with pytest.raises(InputError, match=r"reject must be|to refuse must be one"):
            session.predict(x, reject=wrong)


@pytest.mark.parametrize("members", [1, 4])
def test_intervals_of_a_regression(tmp_path: Path, members: int) -> None:
    path = tmp_path / "numbers.onnx"
    task_models.save(path, task_models.ROWS, "regression", members=members)
    x = task_models.rows()
    mean = Session(path).predict(x)
    session = Session(calibrated(path, intervals()))
    found = session.predict_set(x, coverage=0.8)
    assert isinstance(found, Interval)
    np.testing.assert_array_equal(found.mean, mean)
    half = np.array([1, 2, 3]) / (2 if members > 1 else 1)
    np.testing.assert_array_equal(found.high, mean.astype(float) + half)
    np.testing.assert_array_equal(found.low, mean.astype(float) - half)
    with pytest.raises(ModelError, match="predict with reject is for classification"):
        session.predict(x, reject="unknown")


def test_files_without_calibration_say_how_to_add_it(noisy: Path) -> None:
    session, x = Session(noisy), inputs(noisy)
    assert session.calibration is None
    for ask in (session.predict_set, lambda x: session.predict(x, reject="unknown")):
        with pytest.raises(ModelError, match=rf"is not calibrated.*: sbn calibrate {noisy} --data"):
            ask(x)


def test_changed_weights_are_noticed(noisy: Path) -> None:
    path = calibrated(noisy)
    Session(path)
    model = onnx.load(path)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "W1")
    values = onnx.numpy_helper.to_array(weights).copy()
    values[0] ^= 1
    weights.CopyFrom(onnx.numpy_helper.from_array(values, "W1"))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"weights were changed after .*again: sb"):
        Session(path)
    Session(calibrated(path))


def test_what_does_not_fit_is_refused(noisy: Path) -> None:
    four = calibration(offsets=np.zeros(4), by_class=None)
    with pytest.raises(ModelError, match="classification with 4 outputs, the model is for class"):
        Session(calibrated(noisy, four))
    with pytest.raises(ModelError, match="is for regression with 3 outputs, the model is for clas"):
        Session(calibrated(noisy, intervals()))
    with pytest.raises(ModelError, match="its calibration is damaged: it is not a table"):
        Session(write(noisy, 7))


def test_sizes_that_only_show_when_it_runs() -> None:
    """Files of others need not say how many classes they have."""
    with pytest.raises(ModelError, match="answers with 4 numbers, but its calibration is for 3"):
        Answered.of(calibration(), np.full((2, 5, 4), 0.25))


def test_the_same_bytes_otherwise(noisy: Path) -> None:
    before = onnx.load(noisy)
    after = onnx.load(calibrated(noisy))
    for model in (before, after):
        del model.metadata_props[:]
    assert after == before


def test_members_that_are_not_kept_apart(noisy: Path, ensemble: Path, tmp_path: Path) -> None:
    """Whatever joins the members, or is in the graph, it is refused in one line."""
    model = onnx.load(ensemble)
    joined = next(node for node in model.graph.node if node.output[0] == "member_logits")
    joined.op_type, joined.domain = "Max", ""
    del joined.attribute[:]
    path = tmp_path / "max.onnx"
    onnx.save(model, path)
    with pytest.raises(InputError, match="does not keep its members apart"):
        Session(path).predict_until(inputs(ensemble))
    model = onnx.load(ensemble)
    branch = onnx.helper.make_graph([], "branch", [], [])
    node = onnx.helper.make_node("If", ["input"], ["unused"], then_branch=branch)
    model.graph.node.insert(0, node)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="does not keep its members apart"):
        Members(path, "member_logits", partial(ENGINES["sbn"].load, threads=1, spin=False))
    model = onnx.load(ensemble)
    joined = next(node for node in model.graph.node if node.output[0] == "member_logits")
    joined.input[0] = "member_logits_0"
    double = onnx.helper.make_node("Concat", [joined.input[1]] * 2, ["member_logits_0"], axis=0)
    model.graph.node.insert(list(model.graph.node).index(joined), double)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="its members have outputs of the shapes"):
        Session(path).predict_until(inputs(ensemble))


# Until the answer is settled, or the time is over


@pytest.mark.parametrize("found", [None, calibration(), calibration(offsets=np.zeros(3))])
def test_members_until_the_label_is_settled(ensemble: Path, found: object) -> None:
    x = inputs(ensemble, 200)
    session = Session(ensemble if found is None else calibrated(ensemble, found))  # type: ignore[arg-type]
    whole = session.predict(x, return_uncertainty=True)
    settled = session.predict_until(x, confidence=0.9, group=2)
    assert set(settled.samples_used) <= {2, 4, 6, 7}
    assert settled.samples_used.mean() < 6
    assert (settled.label != whole.label).mean() <= 0.1
    every = settled.samples_used == 7
    assert every.any()
    np.testing.assert_allclose(settled.probabilities[every], whole.probabilities[every], rtol=1e-6)
    logits = session.run(x)["member_logits"]
    two = settled.samples_used == 2
    mean = softmax(logits[:2]).mean(axis=0)
    if found is not None:
        assert session.calibration is not None
        mean = session.calibration.probabilities(mean, 2)
    np.testing.assert_array_equal(settled.probabilities[two], mean.astype(np.float32)[two])


def test_members_are_those_of_the_whole(ensemble: Path) -> None:
    session, x = Session(ensemble), inputs(ensemble)
    logits = session.run(x)["member_logits"]
    feeds = {"input": x}
    for first, count in itertools.combinations(range(8), 2):
        found = session._executor.sample_members(feeds, first, count - first, "member_logits")
        np.testing.assert_array_equal(found[0], logits[first:count])


def test_calibrated_noise_until_the_label_is_settled(noisy: Path) -> None:
    x = inputs(noisy, 100)
    found = calibration(offsets=np.array([1.5, 1.0, -2.5]))
    plain = Session(noisy).predict(x, samples=16)
    session = Session(calibrated(noisy, found))
    whole = session.predict(x, samples=16)
    assert (whole != plain).any(), "offsets change no label, so nothing is tested"
    settled = session.predict_until(x, confidence=0.999, max_samples=16)
    assert (settled.label != whole).mean() <= 0.02
    assert settled.samples_used.min() < 16


class Clock:
    """Time that passes only in samples: each takes a second, and each call half of one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[int, int]] = []

    def __call__(self) -> float:
        return self.now

    def draw(self, first: int, count: int) -> np.ndarray:
        self.calls.append((first, count))
        self.now += count + 0.5
        return np.arange(first, first + count, dtype=float).reshape(1, count, 1, 1)


def test_as_many_samples_as_fit() -> None:
    clock, pace = Clock(), Pace()

    def run(seconds: float, images: int = 1, most: int = 100) -> list[tuple[int, int]]:
        clock.calls.clear()
        begin = clock.now
        found = pace.draw(clock.draw, images, seconds=seconds, most=most, clock=clock)
        drawn = sum(count for _, count in clock.calls)
        np.testing.assert_array_equal(found[0, :, 0, 0], np.arange(drawn))
        if drawn > 1:
            assert clock.now - begin <= seconds
        return list(clock.calls)

    # At first one sample tells how long one takes; then what fits into the rest.
    first, *others = run(20)
    assert first == (0, 1)
    assert others[0] == (1, 11)
    assert sum(count for _, count in others) >= 14
    # From then on all at once.
    assert run(20)[0][1] >= 15
    # Other numbers of images are measured by themselves.
    assert run(20, images=8)[0] == (0, 1)
    # There is always an answer, and never more than was asked for.
    assert run(0.1) == [(0, 1)]
    assert sum(count for _, count in run(1000, most=32)) == 32


@pytest.mark.parametrize("kind", ["noisy", "single", "ensemble"])
def test_within(kind: str, request: pytest.FixtureRequest) -> None:
    path = calibrated(request.getfixturevalue(kind))
    session, x = Session(path), inputs(path)
    short = session.predict_within(x, ms=1e-6)
    assert (short.samples_used == 1).all()
    rest = {"max_samples": 4} if kind == "noisy" else {}
    long = session.predict_within(x, ms=60_000, **rest)
    np.testing.assert_array_equal(long.probabilities, session.predict_proba(x))
    np.testing.assert_array_equal(long.samples_used, {"noisy": 4, "single": 1, "ensemble": 7}[kind])
    for ms in (0, -1, float("nan"), float("inf"), "soon", None):
        with pytest.raises(InputError, match="ms must be a finite number of milliseconds above 0"):
            session.predict_within(x, ms=ms)  # type: ignore[arg-type]
