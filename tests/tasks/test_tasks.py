"""Each task from training to the answers of an exported file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from sbn_deploy import cli, data, tasks
from sbn_deploy.export import export_checkpoint, export_model
from sbn_deploy.materialize import Form
from sbn_deploy.train import curves
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.head import Head
from sbn_deploy.train.loop import train
from sbn_runtime import ConfigError, Estimate, Prediction, Session, UnsupportedLayerError

from ..sampled import few
from . import task_data
from .task_data import NETWORKS, write

HERE = Path(task_data.__file__).relative_to(Path.cwd())


@dataclass(frozen=True)
class Trained:
    task: str
    spec: str
    checkpoint: Path
    metrics: dict[str, Any]
    test: data.Dataset


def settings(out: Path, spec: str, network: str, **more: Any) -> TrainConfig:
    return TrainConfig(
        out=out, data=spec, arch=f"{HERE}:{network}", batch_size=16, members=2, **more
    )


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    task: str = request.param
    folder = tmp_path_factory.mktemp(task)
    spec = f"npz:{write(folder / 'data.npz', task)}"
    result = train(settings(folder, spec, NETWORKS[task], epochs=6, validation=True))
    return Trained(task, spec, result.checkpoint_path, result.metrics, data.load(spec, "test"))


def test_training_learns_and_measures(trained: Trained) -> None:
    objective = tasks.find(trained.task)
    assert trained.metrics["task"] == trained.task
    history = trained.metrics["history"]
    assert history[-1]["loss"] < history[0]["loss"]
    assert f"validation_{objective.main.key}" in history[0]
    assert ("accuracy" in history[0]) == objective.counts_hits
    assert curves.draw(trained.checkpoint.parent).stat().st_size > 0
    for form, scores in trained.metrics["metrics"].items():
        assert scores.keys() - {"members"} == {metric.key for metric in objective.metrics}, form


@pytest.mark.parametrize("members", few([2, 1], 1))
def test_files_answer_as_training_measured(
    trained: Trained, tmp_path: Path, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.checkpoint.parent)
    shutil.copytree(Path(task_data.__file__).parent, Path.cwd() / HERE.parent, dirs_exist_ok=True)
    path = tmp_path / "model.onnx"
    form = Form("sample", members) if members > 1 else Form()
    report = export_checkpoint(trained.checkpoint, path, form)
    assert any(layer.kind == "binary" for layer in report.layers)
    session = Session(path)
    assert session.task == session.metadata["task"] == trained.task
    x, targets = session.preprocess(trained.test.images), trained.test.labels
    outputs = session.run(x)
    objective = tasks.find(trained.task)
    assert list(outputs) == objective.task.output_names(members > 1)
    recorded = trained.metrics["metrics"]["ensemble" if members > 1 else "thresholded"]
    found = objective.scores(outputs[objective.task.answer], targets)
    for key, value in found.items():
        assert value == pytest.approx(recorded[key], rel=1e-4), key
    assert session.metadata["test_scores"] == pytest.approx(
        {key: recorded[key] for key in found}, rel=1e-4
    )
    answer = session.predict(x, return_uncertainty=True)
    kind = Estimate if trained.task in ("regression", "image") else Prediction
    assert isinstance(answer, kind)
    spread = answer.standard_deviation if isinstance(answer, Estimate) else answer.entropy
    assert (spread.max() > 0) == (members > 1 or isinstance(answer, Prediction))


def test_noise_is_averaged_by_task(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_checkpoint(trained.checkpoint, path, Form(activations="stochastic", samples=4))
    session = Session(path)
    x = session.preprocess(trained.test.images[:6])
    outputs = session.run(x, samples=5)
    task = tasks.find(trained.task).task
    assert len(outputs[task.rows]) == 5
    for name, value in task.average(outputs[task.rows]).items():
        np.testing.assert_array_equal(outputs[name], value)


def test_a_network_that_ends_in_softmax_is_not_normalised_twice(tmp_path: Path) -> None:
    spec = f"npz:{write(tmp_path / 'data.npz', 'classification')}"
    results, sessions = [], []
    for name in ("signals", "dense_softmax"):
        results.append(train(settings(tmp_path / name, spec, name, epochs=2)))
        path = tmp_path / f"{name}.onnx"
        export_checkpoint(results[-1].checkpoint_path, path)
        sessions.append(Session(path))
    test = data.load(spec, "test")
    first, second = (session.predict_proba(session.preprocess(test.images)) for session in sessions)
    # The same network, loss and noise: the same weights, but for rounding.
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert first.max() > 0.73  # more than a softmax of probabilities ever gives


def test_a_network_that_ends_in_a_sigmoid(tmp_path: Path) -> None:
    spec = f"npz:{write(tmp_path / 'data.npz', 'multilabel')}"
    result = train(settings(tmp_path / "run", spec, "dense_sigmoid", epochs=4))
    path = tmp_path / "model.onnx"
    export_checkpoint(result.checkpoint_path, path)
    session = Session(path)
    test = data.load(spec, "test")
    p = session.predict_proba(session.preprocess(test.images))
    # A sigmoid of a probability would be above one half.
    assert p.min() < 0.3
    expected = result.metrics["metrics"]["thresholded"]["map"]
    found = tasks.find("multilabel").scores(p, test.labels)["map"]
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_task_is_for_the_first_of_several_outputs(tmp_path: Path) -> None:
    spec = f"npz:{write(tmp_path / 'data.npz', 'regression')}"
    result = train(settings(tmp_path / "run", spec, "TwoAnswers", epochs=1))
    path = tmp_path / "model.onnx"
    export_checkpoint(result.checkpoint_path, path)
    session = Session(path)
    x = session.preprocess(data.load(spec, "test").images)
    outputs = session.run(x)
    assert list(outputs) == ["prediction", "sums"]
    np.testing.assert_allclose(outputs["sums"], x.sum(axis=1), rtol=1e-4, atol=1e-5)


def test_probabilities_of_another_spelling_are_not_normalised_twice(tmp_path: Path) -> None:
    def softmax(x: torch.Tensor) -> torch.Tensor:
        powers = torch.exp(x - x.amax(1, keepdim=True))
        return powers / powers.sum(1, keepdim=True)

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), Ends(softmax)).eval()
    x, path = torch.randn(5, 6), tmp_path / "model.onnx"
    with pytest.raises(UnsupportedLayerError, match="already outputs probabilities"):
        export_model(network, x, path)
    assert not path.exists()
    export_model(network, x, path, task="none")
    (answer,) = Session(path).run(x.numpy()).values()
    np.testing.assert_allclose(answer, network(x).detach(), rtol=1e-5)


def test_sigmoids_at_the_end_are_labels_unless_it_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid()).eval()
    x, path = torch.randn(5, 6), tmp_path / "model.onnx"
    assert export_model(network, x, path).task == "multilabel"
    np.testing.assert_allclose(
        Session(path).run(x.numpy())["probabilities"], network(x).detach(), rtol=1e-5
    )


class Ends(nn.Module):
    def __init__(self, end: Any) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.end(x)
        return found


@pytest.mark.parametrize(
    ("task", "end", "normalised"),
    [
        ("classification", lambda x: x.softmax(1), True),
        ("classification", lambda x: x.softmax(-1), True),
        ("classification", lambda x: x.softmax(0), False),
        ("classification", lambda x: x.log_softmax(1).exp(), True),
        ("classification", lambda x: x.log_softmax(1), False),
        ("classification", lambda x: x.softmax(1).clone().detach(), True),
        ("classification", lambda x: (x.softmax(1), x), True),
        ("classification", lambda x: x, False),
        ("classification", lambda x: x.sigmoid(), False),
        ("multilabel", lambda x: x.sigmoid(), True),
        ("multilabel", lambda x: x.softmax(1), False),
        ("regression", lambda x: x.sigmoid(), False),
        ("regression", lambda x: x.softmax(1), False),
    ],
)
def test_heads(task: str, end: Any, normalised: bool) -> None:
    x = torch.randn(5, 3)
    head = Head.of(lambda: Ends(end)(x), tasks.find(task))
    assert head.probabilities == normalised
    answer, raw = head.answer(end(x)), head.raw(end(x))
    match task:
        case "classification":
            torch.testing.assert_close(raw.softmax(1), answer)
        case "multilabel":
            torch.testing.assert_close(raw.sigmoid(), answer)
        case _:
            assert torch.equal(raw, answer)


@pytest.mark.parametrize("task", NETWORKS)
def test_losses(task: str) -> None:
    """Each is a mean over everything, and least where the answer is right."""
    objective = tasks.find(task)
    output = torch.randn(6, 3, 2, 2) if task in ("segmentation", "image") else torch.randn(6, 3)
    targets = {
        "classification": output.argmax(1),
        "segmentation": output.argmax(1),
        "multilabel": (output > 0).to(torch.uint8),
    }.get(task, output)
    loss = objective.loss(output, targets, 0.0)
    assert loss.shape == ()
    torch.testing.assert_close(
        objective.loss(output[[0] * 4], targets[[0] * 4], 0.0),
        objective.loss(output[:1], targets[:1], 0.0),
    )
    assert loss < objective.loss(output.roll(1, 1), targets, 0.0)
    hits = objective.hits(output, targets)
    assert (hits is None) == (not objective.counts_hits)
    assert hits is None or hits.item() == pytest.approx(6)
    near, far = (
        objective.distance(output + d * torch.randn_like(output), output, 2.0) for d in (0.01, 1.0)
    )
    assert near < far


def refusal(config: TrainConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        train(config, overwrite=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_settings_that_do_not_fit(tmp_path: Path) -> None:
    spec = f"npz:{write(tmp_path / 'data.npz', 'regression')}"
    out = tmp_path / "run"
    assert "flip is for 8-bit images" in refusal(settings(out, spec, "dense", flip=True))
    smoothed = settings(out, spec, "dense", label_smoothing=0.1)
    assert "label_smoothing is for classes, but the task is regression" in refusal(smoothed)
    other = settings(out, spec, "dense", task="segmentation")
    assert "the task segmentation needs integers" in refusal(other)
    named = TrainConfig(out=out, data=spec, arch="digits-cnn")
    assert "has inputs of 12, which digits-cnn does not take" in refusal(named)
    wrong = settings(out, spec, "dense", task="multilabel")
    assert "multilabel needs zeros and ones" in refusal(wrong)


def test_answers_of_another_shape(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((40, 12))
    arrays: dict[str, NDArray[Any]] = {"x": rows, "y": rows[:, :2, np.newaxis]}
    np.savez(tmp_path / "data.npz", **arrays)
    config = settings(tmp_path / "run", f"npz:{tmp_path / 'data.npz'}", "TwoAnswers")
    assert train(config.model_copy(update={"epochs": 1})).metrics["task"] == "regression"
    np.savez(tmp_path / "data.npz", x=rows, y=np.stack([rows[:, :2]] * 2, axis=2))
    assert "gives [2, 2] for inputs [2, 12]; training on" in refusal(config)


def test_what_is_for_classes_only_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = f"npz:{write(tmp_path / 'data.npz', 'regression')}"
    result = train(settings(tmp_path / "run", spec, "dense", epochs=1))
    model, output = tmp_path / "model.onnx", tmp_path / "model.tflite"
    export_checkpoint(result.checkpoint_path, model)
    with pytest.raises(
        UnsupportedLayerError, match=r"the task of this network is regression.*onnx"
    ):
        export_checkpoint(result.checkpoint_path, output)
    assert not output.exists()
    config = tmp_path / "sweep.toml"
    config.write_text(f"checkpoint = {str(result.checkpoint_path)!r}\ndata = {spec!r}\n")
    for words, message in (
        (["sweep", config, "--out", tmp_path / "sweep"], "a sweep chooses by accuracy"),
        (["evaluate", model, "--data", spec, "--sweep-samples", "1,2"], "accuracy is for classes"),
        (["benchmark", model, "--data", spec, "--runs", "1"], "accuracy is for classes"),
    ):
        assert cli.main([str(word) for word in words]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
