"""The C programs answer as `Session` does, and need no library but the C library."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_deploy.commands.images import read_input
from sbn_runtime import Preprocess, Session

from ..built import RUNTIME
from ..calibrations import calibrated
from ..packaging.arm import CORES_TO_TEST
from ..packaging.native import CROSS_COMPILER, STRICT, arm_build, emulator, need
from ..packaging.wheels import GLIBC
from ..small_models import (
    CLASSES,
    PREPROCESS,
    Classifier,
    StochasticClassifier,
    random_images,
    write_pixel_classifier,
)
from ..task_models import SEVERAL, rows, save
from .library import path_of


def compile_example(compiler: str, archive: Path, folder: Path, name: str = "classify") -> Path:
    built, source = folder / name, RUNTIME / f"examples/{name}.c"
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


PHOTO = Preprocess(3, 4, 4, 200, (0.5,) * 3, (0.5,) * 3, fit="crop")


def test_pictures_of_every_size(program: Path, tmp_path: Path) -> None:
    """As `sbn predict` takes them, of every range of numbers; and the bytes of an image."""
    model = write_pixel_classifier(tmp_path / "m.onnx", 3, preprocess=PHOTO.to_json())
    session = Session(model, threads=1)
    rng = np.random.default_rng(0)
    for most in (255, 200, 100, 6, 2, 1):
        for name, shape in (("photo.ppm", (31, 17, 3)), ("grey.pgm", (5, 90, 1))):
            path = tmp_path / name
            write_picture(path, rng.integers(0, most + 1, shape, np.uint8), most)
            answers(program, path, model, session, read_input(path, session))
    pixels = rng.integers(0, 201, (1, 4, 4, 3), np.uint8)
    path = tmp_path / "image.raw"
    path.write_bytes(pixels.tobytes())
    answers(program, path, model, session, pixels)


def answers(
    program: Path, picture: Path, model: Path, session: Session, x: NDArray[np.uint8]
) -> None:
    (probabilities,) = session.predict_proba(x)
    best = int(probabilities.argmax())
    wanted = f"{session.metadata['classes'][best]}, probability {probabilities[best]:.6f}\n"
    assert run(program, picture, model).stdout == wanted


@pytest.mark.parametrize("noise", [False, True])
def test_calibrated(program: Path, tmp_path: Path, noise: bool) -> None:
    """Floats, with and without noise; the answer is the calibrated one."""
    kind = StochasticClassifier if noise else Classifier
    model = calibrated(kind.random().write(tmp_path / "m.onnx"))
    session = Session(model, threads=1)
    for seed in range(5):
        images = random_images(1, seed=seed)
        path = tmp_path / "image.raw"
        path.write_bytes(images.tobytes())
        (wanted,) = session.predict_proba(session.preprocess(images))
        name, _, probability = run(program, path, model).stdout.rpartition(", probability ")
        assert name == CLASSES[int(wanted.argmax())]
        assert float(probability) == pytest.approx(wanted.max(), abs=2e-6)


def test_a_class_without_a_name(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.raw"
    path.write_bytes(bytes(16))
    model = Classifier.random().write(tmp_path / "m.onnx", metadata={"preprocess": PREPROCESS})
    assert run(program, path, model).stdout.startswith("class ")


def test_any_task(tmp_path: Path) -> None:
    """The other program gives all outputs of a model with two inputs."""
    program = compile_example("cc", path_of("libsbn_native.a"), tmp_path, "run")
    model = save(tmp_path / "m.onnx", SEVERAL, "none", metadata={})
    session = Session(model, threads=1)
    feeds = {node.name: rows(1, seed) for seed, node in enumerate(session.inputs)}
    files = []
    for name, value in feeds.items():
        files.append(tmp_path / f"{name}.raw")
        value.tofile(files[-1])
    lines = run(program, model, *files).stdout.splitlines()
    for name, value in session.run(feeds).items():
        assert lines.pop(0) == name
        found = np.array(lines[: value.size], np.float32)
        np.testing.assert_array_equal(found, value.ravel())
        del lines[: value.size]
    assert lines == []
    for wrong, message in (
        (files[:1], f"run: {session.inputs[1].name}: has no file"),
        ([*files, files[0]], f"run: {files[0]}: there is no such input"),
        ([files[0], model], f"run: {model}: does not hold {feeds['right'].nbytes} bytes"),
        ([files[0], tmp_path / "none"], f"run: {tmp_path / 'none'}: cannot be opened"),
    ):
        refused = run(program, model, *wrong)
        assert (refused.returncode, refused.stderr) == (1, f"{message}\n")


def test_what_is_wrong_is_said(program: Path, tmp_path: Path) -> None:
    model, picture = tmp_path / "model.onnx", tmp_path / "picture.pgm"
    write_pixel_classifier(model)

    def refusal(content: bytes) -> str:
        picture.write_bytes(content)
        refused = run(program, picture, model)
        assert (refused.returncode, refused.stdout) == (1, "")
        return refused.stderr.removeprefix(f"classify: {picture}: ")

    wanted = "is neither a binary PPM or PGM (P6 or P5) nor 16 bytes\n"
    assert refusal(b"\x89PNG") == refusal(bytes(15)) == refusal(bytes(17)) == wanted
    assert refusal(b"P5 4 4 255\n" + bytes(15)) == "ends too early\n"
    assert refusal(b"P5 4 4 65535\n" + bytes(32)) == (
        "its pixels are not one byte for each channel\n"
    )
    assert refusal(b"P5 99999999999 4 255\n").startswith("its width or height is not in")
    picture.write_bytes(bytes([17] * 16))
    refused = run(program, picture, model)
    assert "sbn: a pixel is 17, and the model's largest 16" in refused.stderr
    refused = run(program, tmp_path / "none.ppm", model)
    assert refused.stderr == f"classify: {tmp_path / 'none.ppm'}: cannot be opened\n"
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
