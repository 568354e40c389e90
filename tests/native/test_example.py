"""The C example classifies as `Session` does, and needs no library but the C library."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from sbn_runtime import Session

from ..built import RUNTIME
from ..packaging.arm import CORES_TO_TEST
from ..packaging.native import CROSS_COMPILER, STRICT, arm_build, emulator, need
from ..packaging.wheels import GLIBC
from ..small_models import write_pixel_classifier
from .library import path_of


def compile_example(compiler: str, archive: Path, folder: Path) -> Path:
    built, source = folder / "classify", RUNTIME / "examples/classify.c"
    command = [compiler, *STRICT, source, "-I", RUNTIME / "include", archive, "-o", built]
    subprocess.run(list(map(str, command)), check=True)
    return built


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_example("cc", path_of("libsbn_native.a"), tmp_path_factory.mktemp("example"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def write_picture(path: Path, pixels: NDArray[np.uint8], most: int = 255) -> None:
    """[height, width, channels] as a binary PGM or PPM, with a comment in its header."""
    height, width, channels = pixels.shape
    head = f"P{6 if channels == 3 else 5}\n# made by a test\n{width} {height}\n{most}\n"
    path.write_bytes(head.encode() + pixels.tobytes())


def classifies_pixels(folder: Path, channels: int, *program: str | Path) -> None:
    """As `Session` does here."""
    model, picture = folder / "model.onnx", folder / "picture.ppm"
    write_pixel_classifier(model, channels)
    session = Session(model, threads=1)
    shape = session.inputs[0].shape[1:]
    pixels = np.random.default_rng(0).integers(0, 17, (1, *map(int, shape)), np.uint8)
    write_picture(picture, pixels[0], 16)
    done = run(*program, picture, model, "3", "2")
    (probabilities,) = session.run(pixels)["probabilities"]
    best = int(probabilities.argmax())
    name = session.metadata["classes"][best]
    assert done.stdout.startswith(f"{name}, probability {probabilities[best]:.6f}\n")
    assert "median of 3 runs: " in done.stdout


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels(program: Path, tmp_path: Path, channels: int) -> None:
    classifies_pixels(tmp_path, channels, program)


@pytest.mark.parametrize("core", CORES_TO_TEST)
def test_on_arm(core: str, tmp_path: Path) -> None:
    need(CROSS_COMPILER, "qemu-aarch64")
    folder = arm_build("sbn_native_static")
    program = compile_example(CROSS_COMPILER, folder / "libsbn_native.a", tmp_path)
    classifies_pixels(tmp_path, 3, *emulator(core), program)


def test_size_for_phones() -> None:
    need(CROSS_COMPILER)
    assert (arm_build("sbn_native") / "libsbn_native.so").stat().st_size <= 1_200_000


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_normalised_floats(program: Path, tmp_path: Path, order: str) -> None:
    """As the metadata says, behind keys and texts that only look like it."""
    preprocess = {"pixel_max": 200, "mean": [0.5, 0.25, 0.125], "std": [0.5, 1, 2], "order": order}
    classes = ['a "quoted", name', "b]", "c"]
    said = {"config": {"classes": 7}, "note": '"classes": ["no"]', "classes": classes}
    weights = np.random.default_rng(1).standard_normal((3, 3 * 2 * 4)).astype(np.float32)
    proto = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["": 20]>
        m (float[N, 3, 2, 4] input) => (float[N, 3] probabilities) {
            flat = Flatten (input)
            logits = Gemm <transB = 1> (flat, w)
            probabilities = Softmax (logits)
        }""")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.helper.set_model_props(proto, {"sbn": json.dumps(said | {"preprocess": preprocess})})
    model, picture = tmp_path / "model.onnx", tmp_path / "picture.ppm"
    onnx.save(proto, model)
    pixels = np.random.default_rng(0).integers(0, 201, (2, 4, 3), np.uint8)
    write_picture(picture, pixels, 200)
    channels = pixels[..., ::-1] if order == "bgr" else pixels
    x = (channels / 200 - preprocess["mean"]) / preprocess["std"]
    logits = weights @ x.transpose(2, 0, 1).ravel()
    wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    name, _, probability = run(program, picture, model).stdout.rpartition(", probability ")
    assert json.loads(f'"{name}"') == classes[int(wanted.argmax())]
    assert float(probability) == pytest.approx(wanted.max(), abs=1e-5)


def test_what_is_wrong_is_said(program: Path, tmp_path: Path) -> None:
    model, picture = tmp_path / "model.onnx", tmp_path / "picture.pgm"
    write_pixel_classifier(model)

    def refusal(content: bytes) -> str:
        picture.write_bytes(content)
        refused = run(program, picture, model)
        assert (refused.returncode, refused.stdout) == (1, "")
        return refused.stderr.removeprefix(f"classify: {picture}: ")

    assert refusal(b"\x89PNG") == "is no binary PPM or PGM (P6 or P5)\n"
    assert refusal(b"P5 4 4 255\n" + bytes(15)) == "ends too early\n"
    assert refusal(b"P5 5 4 255\n" + bytes(20)) == (
        "is 5 x 4 with 1 channels; the model takes 4 x 4 with 1\n"
    )
    assert refusal(b"P6 4 4 255\n" + bytes(48)) == (
        "is 4 x 4 with 3 channels; the model takes 4 x 4 with 1\n"
    )
    assert refusal(b"P5 4 4 255\n" + bytes(16)) == "its full intensity is 255, the model's is 16\n"
    assert refusal(b"P5 4 4 65535\n" + bytes(32)) == (
        "its pixels are not one byte for each channel\n"
    )
    assert refusal(b"P5 99999999999 4 255\n").startswith("its width or height is not in")
    refused = run(program, picture, picture)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    refused = run(program, picture, model, "5", "300")
    assert refused.stderr == "classify: 300: is not a whole number from 1 to 256\n"
    assert run(program).returncode == 2


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


def test_the_library_runs_on_old_systems() -> None:
    """On glibc 2.28, as the wheels promise, wherever it was built."""
    listed = run("readelf", "--version-info", path_of("libsbn_native.so")).stdout
    found = {tuple(map(int, text.split("."))) for text in re.findall(r"GLIBC_([0-9.]+)", listed)}
    assert found
    assert max(found) <= GLIBC
