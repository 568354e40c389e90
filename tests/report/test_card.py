"""Cards of models of each task, from what `sbn evaluate` measured; their code runs."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from sbn_deploy import cli, escape, tasks
from sbn_deploy.report.card import subject, write_card
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Standardize

from ..calibrations import calibrated, calibration
from ..nasty import UNICODE
from ..task_models import PIXELS, ROWS, pixels, rows, save
from . import builder

CLASSES = ["sky", "sea", "sand"]


@pytest.mark.parametrize("task", tasks.OBJECTIVES)
def test_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.chdir(tmp_path)
    x = pixels(30) if task in ("segmentation", "image") else rows(30)
    shape = x.shape[1:]
    said: dict[str, Any] = {
        "preprocess": Standardize(shape, (0.5,) * 16, (2.0,) * 16).to_json(),
        "classes": CLASSES if task not in ("regression", "image") else [],
        "weights": "sample",
        "seed": 0,
        "arch": "net.py:Net",
    }
    text = PIXELS if x.ndim == 4 else ROWS
    save(Path("m.onnx"), text, task, members=2, metadata=said)
    y: np.ndarray = x[:, :3]
    y = {
        "classification": lambda: y.argmax(axis=1),
        "segmentation": lambda: y.argmax(axis=1),
        "multilabel": lambda: (y > 0).astype(np.uint8),
    }.get(task, lambda: y)()
    np.savez("data.npz", x=x, y=y, test_x=x, test_y=y)
    run = ["m.onnx", "--data", "npz:data.npz", "-o", "run.json", "--json"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(["evaluate", *run]) == 0
        assert cli.main(["card", "m.onnx", "run.json", "-o", "README.md"]) == 0
    card = Path("README.md").read_text()
    front = dict(line.split(": ", 1) for line in card.split("---")[1].strip().splitlines())
    objective = tasks.find(task)
    assert json.loads(front["metrics"]) == [objective.main.key]
    # The input is numbers, for which there is no name.
    assert "pipeline_tag" not in front
    assert f"numbers of shape {'×'.join(map(str, shape))}" in card
    assert ("sea" in card) == bool(said["classes"])
    if task != "classification":
        for metric in objective.metrics:
            assert metric.title in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue().strip()


def test_a_calibrated_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("m.onnx"), ROWS, "classification", members=2, metadata={"classes": CLASSES})
    known = calibration(data="pixels *and* | more", measured={"ece": 0.0123, "raw_ece": 0.0845})
    calibrated(Path("m.onnx"), known)
    x = rows(200)
    np.savez("data.npz", x=x, y=x[:, :3].argmax(axis=1), test_x=x, test_y=x[:, :3].argmax(axis=1))
    run = ["m.onnx", "--data", "npz:data.npz", "-o", "run.json", "--json"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert cli.main(["evaluate", *run]) == 0
        found = json.loads(printed.getvalue())["calibration"]["sets"][2]
        assert cli.main(["card", "m.onnx", "run.json", "-o", "README.md"]) == 0
    text = Path("README.md").read_text().partition("## Confidence")[2].partition("\n## ")[0]
    said = re.sub(r"<.*?>", "", MarkdownIt().render(text))
    assert "calibrated on 500 inputs of pixels *and* | more, its test part." in html.unescape(said)
    assert "fifths of them is 1.23%, and was 8.45% before" in said
    assert f"they do in {found['coverage']:.2%}" in said
    assert f"with {found['size']:.2f} classes on average" in said
    assert "whose energy is above that of 95 % of them" in said


@pytest.mark.parametrize("name", [name for name in UNICODE if name and not {"/", "\0"} & {*name}])
def test_names_are_text(tmp_path: Path, name: str) -> None:
    """Of files, classes, architectures, data sets, models and machines."""
    path = tmp_path / f"{name}.onnx"
    features = (name, *(f"f{index}" for index in range(15)))
    said: dict[str, Any] = {
        "preprocess": Standardize((16,), (0.5,) * 16, (2.0,) * 16, features).to_json(),
        "classes": [name, "b", "c"],
        "arch": name,
        "config": {name: name},
        "data": name,
        "checkpoint_sha256": "c" * 64,
    }
    save(path, ROWS, "classification", metadata=said)
    facts = subject(path, []).facts
    record = replace(
        builder.evaluation(facts, *builder.answers(30, 2, 1.0), [name, "b"], data=name),
        command=shlex.join(["sbn", "evaluate", str(path), "--data", f"npz:{name}", name]),
    )
    latency = builder.benchmark([builder.Case(facts, 1.0)])
    latency = replace(latency, machine=replace(latency.machine, cpu=name), unstable=(name,))
    card = write_card(subject(path, [(path, record), (path, latency)]))

    assert all(line.isprintable() for line in card.split("\n"))
    _, front, body = card.split("---\n", 2)
    assert json.loads(front.split("\nmodel-index: ")[1].splitlines()[0])[0]["name"] == name
    headings = re.findall("^#+ (.*)$", body, re.MULTILINE)
    assert headings == [escape.markdown(name), "Accuracy", "Latency", "Use", "Origin"]
    page = MarkdownIt("commonmark").enable("table").render(body)
    tags = set(re.findall(r"<(\w+)", page))
    assert tags <= {*("h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"), "code", "pre"}
    shell = re.findall(r"```sh\n(.*?)\n```", body, re.DOTALL)
    assert len(shell) == 1
    assert len(shell[0].splitlines()) == 1
    (predict,) = re.findall("<code>(sbn predict .*?)</code>", page)
    for command in (shell[0], html.unescape(predict)):
        if "$'" not in command:
            words = shlex.split(command)
            assert {path.name, f"./{path.name}"} & {*words}, command
    (code,) = re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    assert f"Session({escape.python(path.name)})" in code
    compile(code, "README.md", "exec")


@pytest.mark.parametrize(
    ("data", "there"),
    [("cifar10", ["uoft-cs/cifar10"]), ("folder:my photos", None), ("été", None), ("…", None)],
)
def test_names_of_the_hub(tmp_path: Path, data: str, there: list[str] | None) -> None:
    """What the card says is read by the hub's own client, and names data sets that are there."""
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    path = tmp_path / "m.onnx"
    save(path, ROWS, "classification", metadata={"classes": CLASSES, "data": data})
    facts = subject(path, []).facts
    record = builder.evaluation(facts, *builder.answers(30, 2, 1.0), CLASSES[:2], data=data)
    about = subject(path, [(path, record)])
    card = hub.ModelCard(write_card(about, license="cc-by-4.0"))
    assert card.data.license == "cc-by-4.0"
    assert card.data.to_dict().get("datasets") == there
    (result,) = card.data.eval_results
    assert result.dataset_name == data
    assert re.fullmatch(r"(?:[\w-]+/)?[\w\-.]+", result.dataset_type, re.ASCII)
    with pytest.raises(ConfigError, match=r"'Apache-2\.0'; did you mean apache-2\.0"):
        write_card(about, license="Apache-2.0")


def test_folders_of_the_machine_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    save(path, ROWS, "classification", metadata={"classes": CLASSES})
    facts = subject(path, []).facts
    words = [
        "sbn",
        "evaluate",
        r"C:\Users\me\m.onnx",
        "--data",
        r"npz:D:\mine.npz",
        "/home/me/o.json",
    ]
    record = replace(
        builder.evaluation(facts, *builder.answers(30, 2, 1.0), CLASSES[:2]),
        command=shlex.join(words),
    )
    card = write_card(subject(path, [(path, record)]))
    assert "sbn evaluate m.onnx --data npz:PATH o.json" in card
    assert "me" not in re.findall(r"[A-Za-z]+", card.partition("Origin")[2].lower())
