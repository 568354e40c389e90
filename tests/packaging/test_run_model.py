"""The C example runs a model through onnxruntime's C API, as the library and header promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sbn_runtime import Session, library_path

from ..small_models import Classifier, random_images, write_float_model, write_pixel_classifier
from .arm import CORES_TO_TEST
from .native import (
    CROSS_COMPILER,
    HERE,
    ROOT,
    STRICT,
    arm_library,
    arm_onnxruntime,
    emulator,
    need,
    onnxruntime_library,
    run,
    try_run,
)

SOURCE = ROOT / "runtime" / "examples" / "run_model.c"


def compile_example(compiler: str, capi: Path, folder: Path) -> Path:
    need(compiler)
    onnxruntime_library(capi, folder)
    program = folder / "run_model"
    run(
        *(compiler, *STRICT, SOURCE, "-I", HERE / "include"),
        *("-L", folder, "-lonnxruntime", f"-Wl,-rpath,{folder}", "-o", program),
        *("-Wl,--allow-shlib-undefined",),
    )
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    capi = Path(onnxruntime.__file__).parent / "capi"
    return compile_example("cc", capi, tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def arm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(CROSS_COMPILER, "qemu-aarch64")
    capi = arm_onnxruntime(tmp_path_factory)
    return compile_example(CROSS_COMPILER, capi, tmp_path_factory.mktemp("arm"))


@pytest.fixture(params=["float", "pixels"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    if request.param == "float":
        return Classifier.random().write(path)
    return write_pixel_classifier(path)


def check_answer(model: Path, library: Path, *command: str | Path, images: int = 5) -> None:
    """Every image gets the class and probability that `Session` gives it."""
    session = Session(model, threads=1)
    for image in random_images(images):
        x = session.preprocess(image[np.newaxis])
        file = model.with_suffix(".raw")
        file.write_bytes(x.tobytes())
        expected = session.predict_proba(x)[0]
        said = run(*command, model, library, file, "7", "2")
        answer = re.fullmatch(
            r"class (\d+), probability (\d\.\d{6})\nmedian of 7 runs: \d+\.\d{4} ms\n", said
        )
        assert answer, said
        assert int(answer[1]) == expected.argmax()
        assert float(answer[2]) == pytest.approx(expected.max(), abs=1e-6)


def test_example_answers_as_python_does(program: Path, model: Path) -> None:
    check_answer(model, library_path(), program)


@pytest.mark.parametrize("core", CORES_TO_TEST)
def test_example_answers_on_arm_as_python_does_here(
    core: str, arm_program: Path, model: Path
) -> None:
    check_answer(model, arm_library(), *emulator(core), arm_program, images=2)


def refuse(*command: str | Path) -> str:
    """The message of a program that met bad input: one line, status 1."""
    done: subprocess.CompletedProcess[str] = try_run(*command)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("run_model: ")
    return line


def test_example_says_what_is_wrong(program: Path, tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / "model.onnx")
    image, short, long = (tmp_path / name for name in ("image", "short", "long"))
    for file, size in ((image, 64), (short, 63), (long, 65)):
        file.write_bytes(bytes(size))
    library = library_path()
    assert "short: the model takes exactly 64 bytes" in refuse(program, model, library, short)
    assert "long: the model takes exactly 64 bytes" in refuse(program, model, library, long)
    assert "none: cannot be opened" in refuse(program, model, library, tmp_path / "none")
    assert "none" in refuse(program, tmp_path / "none", library, image)
    assert "none" in refuse(program, model, tmp_path / "none", image)
    assert "0: is no number of runs" in refuse(program, model, library, image, "0")
    assert "x: is no number of threads" in refuse(program, model, library, image, "1", "x")
    foreign = write_float_model(tmp_path / "foreign.onnx")
    assert "probabilities" in refuse(program, foreign, library, image)
    usage = try_run(program, model)
    assert (usage.returncode, usage.stderr.split()[0]) == (2, "usage:")
