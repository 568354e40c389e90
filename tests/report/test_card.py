"""Cards of models of each task, from what `sbn evaluate` measured; their code runs."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_deploy import cli, tasks
from sbn_runtime.preprocess import Standardize

from ..task_models import PIXELS, ROWS, pixels, rows, save

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
    assert f"numbers of shape {list(shape)}" in card
    assert ("sea" in card) == bool(said["classes"])
    if task != "classification":
        for metric in objective.metrics:
            assert metric.title in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue().strip()
