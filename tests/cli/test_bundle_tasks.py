"""Bundles of models that are no classifiers of images: their programs compute what they should."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sbn_deploy.bundle import TARGETS, bundle_model
from sbn_runtime import ModelError, Session
from sbn_runtime.modelfile import imported_domains
from sbn_runtime.preprocess import Standardize
from sbn_runtime.tasks import TASKS

from ..nasty import NASTY
from ..packaging.native import compiled_as_described, run
from ..task_models import NOISY, PIXELS, ROWS, SEVERAL, pixels, rows, save

STANDARD = {"preprocess": Standardize((16,), (0.5,) * 16, (2.0,) * 16).to_json()}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "numbers": (ROWS, "regression", STANDARD),
    "labels": (ROWS, "multilabel", {"classes": ["red", "light green", "blue"], **STANDARD}),
    "signals": (ROWS, "classification", {"classes": ["a", "b", "c"], **STANDARD}),
    "maps": (PIXELS, "segmentation", {"classes": ["sky", "sea", "sand"]}),
    "noise": (NOISY, "regression", STANDARD),
    "two-inputs": (SEVERAL, "classification", {}),
    "none": (ROWS, "none", {}),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    text, task, metadata = MODELS[request.param]
    return save(tmp_path / f"{request.param}.onnx", text, task, members=2, metadata=metadata)


def unpacked(model: Path, target: str) -> Path:
    packed = model.with_suffix(".zip")
    report = bundle_model(model, [TARGETS[target]], packed)
    with zipfile.ZipFile(packed) as archive:
        assert set(archive.namelist()) == set(report.files)
        archive.extractall(model.parent / target)
    return model.parent / target / model.stem / target


def given(session: Session) -> dict[str, np.ndarray]:
    """Two or one inputs as a user has them."""
    make = pixels if len(session.inputs[0].shape) == 4 else rows
    return {node.name: make(1, seed) for seed, node in enumerate(session.inputs)}


def normalised(session: Session, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "preprocess" not in session.metadata:
        return x
    return {name: session.preprocess(value) for name, value in x.items()}


def answer_name(session: Session) -> str:
    return TASKS[session.task].answer if session.task in TASKS else "y"


def test_python_program(model: Path) -> None:
    folder = unpacked(model, "linux-x86_64")
    text = (folder / "README.md").read_text()
    assert "{{" not in text
    assert "\n\n\n" not in text
    session = Session(model)
    names = session.metadata.get("classes")
    assert names is None or (folder / "classes.txt").read_text().splitlines() == names
    x = given(session)
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for index, value in enumerate(x.values()):
        np.save(folder / f"x{index}.npy", value)
        line = re.compile(rf"^x{index} = np\.zeros.*$", re.MULTILINE)
        program, count = line.subn(f'x{index} = np.load("x{index}.npy")', program)
        assert count == 1
    program = program.replace("[:10]", "[:10].tolist()")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    outputs = session.run(normalised(session, x))
    shown = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    name = answer_name(session)
    assert next(iter(shown)) == name
    found = [float(number) for number in shown[name].strip("[]").split(",")]
    np.testing.assert_allclose(found, outputs[name].ravel()[:10], rtol=1e-4, atol=1e-5)


def test_c_program(model: Path) -> None:
    """The answer comes first of what it prints, below its name."""
    folder = unpacked(model, "linux-x86_64")
    compiled_as_described(folder)
    session = Session(model)
    x = normalised(session, given(session))
    files = []
    for index, value in enumerate(x.values()):
        value.tofile(folder / f"x{index}.raw")
        files.append(f"x{index}.raw")
    assert f"./run {model.name} {' '.join(files)}\n" in (folder / "README.md").read_text()
    lines = run("./run", model.name, *files, cwd=folder).splitlines()
    expected = session.run(x)[answer_name(session)].ravel()
    begin = lines.index(answer_name(session)) + 1
    found = np.array(lines[begin : begin + expected.size], np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_sizes_that_are_open(tmp_path: Path) -> None:
    model = save(
        tmp_path / "m.onnx", ROWS.replace("float[N, 16] input", "float[N, L] input"), "none"
    )
    assert "sbn" in imported_domains(model)
    with pytest.raises(ModelError, match=r"input is float32 \[N, L\]; programs need sizes"):
        bundle_model(model, [TARGETS["linux-x86_64"]], tmp_path / "m.zip")
    assert not (tmp_path / "m.zip").exists()


def fenced(text: str, language: str) -> str:
    (program,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(program)


@pytest.mark.parametrize("name", [name for name in NASTY if name and name.isprintable()])
def test_names_are_text(name: str, tmp_path: Path) -> None:
    """Of inputs, outputs and classes, in every program, table and list."""
    path = save(tmp_path / "m.onnx", SEVERAL, "none", metadata={"classes": [name, "b"]})
    model = onnx.load(path)
    names = {"left": name, "right": f"right {name}", "y": f"{name} out"}
    for node in model.graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(entry, entry) for entry in side]
    for info in (*model.graph.input, *model.graph.output):
        info.name = names.get(info.name, info.name)
    onnx.save(model, path)
    session = Session(path)
    assert [node.name for node in session.inputs] == [name, f"right {name}"]
    linux = unpacked(path, "linux-x86_64")
    text = (linux / "README.md").read_text()
    headings = re.findall("^#+ .*", re.sub("```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    titles = ["## What goes in", "## What comes out", "## Python", "## C"]
    assert headings == ["# m for linux-x86_64", *titles]
    tree = ast.parse(fenced(text, "python"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {*names.values()} <= texts
    assert len((linux / "classes.txt").read_text().splitlines()) == 2
