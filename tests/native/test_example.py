"""The C example classifies as `Session` does, and needs no library but the C library."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import Session

from ..built import RUNTIME
from ..packaging.native import STRICT
from ..small_models import write_pixel_classifier
from .library import path_of


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("example") / "classify"
    source, archive = RUNTIME / "examples/classify.c", path_of("libsbn_native.a")
    command = ["cc", *STRICT, source, "-I", RUNTIME / "include", archive, "-o", built]
    subprocess.run(list(map(str, command)), check=True)
    return built


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def test_it_classifies(program: Path, tmp_path: Path) -> None:
    model, image = tmp_path / "model.onnx", tmp_path / "image.raw"
    write_pixel_classifier(model)
    session = Session(model, threads=1)
    shape = session.inputs[0].shape[1:]
    pixels = np.random.default_rng(0).integers(0, 256, (1, *map(int, shape)), np.uint8)
    image.write_bytes(pixels.tobytes())
    done = run(program, model, image, "3")
    (probabilities,) = session.run(pixels)["probabilities"]
    best = int(probabilities.argmax())
    assert done.stdout.startswith(f"class {best}, probability {probabilities[best]:.6f}\n")
    assert "median of 3 runs: " in done.stdout
    image.write_bytes(b"0")
    refused = run(program, model, image)
    assert (refused.returncode, refused.stderr) == (
        1,
        f"classify: {image}: the model takes exactly {pixels.size} bytes\n",
    )
    refused = run(program, image, image)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)


def test_the_library_exports_what_the_header_declares() -> None:
    listed = run("nm", "--dynamic", "--defined-only", path_of("libsbn_native.so")).stdout
    header = (RUNTIME / "include/sbn.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^[\w *]+?(\w+)\(", header, re.MULTILINE))
    assert {line.split()[2] for line in listed.splitlines()} == declared - {"RegisterCustomOps"}


def test_the_library_needs_the_c_library_alone() -> None:
    listed = run("readelf", "--dynamic", path_of("libsbn_native.so")).stdout
    needed = [line for line in listed.splitlines() if "(NEEDED)" in line]
    assert needed
    assert all("[libc.so" in line or "[ld-linux" in line for line in needed), needed
