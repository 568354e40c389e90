"""A bundle holds all that another machine needs, and the programs in its README work."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import Session

from ..built import RUNTIME
from ..small_models import (
    PREPROCESS,
    Classifier,
    StochasticClassifier,
    random_images,
    write_pixel_classifier,
)
from .conftest import Environment
from .native import compiled_as_described, emulator, need, run
from .wheels import CROSS_COMPILER, ROOT, system_libraries

ARM = "linux-arm64"
TARGETS = (ARM, "linux-x86_64")
ARM_LIBRARIES = {
    f"sbn_deploy/libraries/aarch64/{name}" for name in ("libsbn.so", "libsbn_native.so")
}
ARM_PROGRAM = "sbn_deploy/libraries/aarch64/sbn_measure"
KINDS = ("float", "pixels", "noise")
# Plain ASCII, more than one word, and neither.
NAMES = ["round thing", "Kreuz-Förmiges", "line"]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "model-1.onnx"
    if request.param == "pixels":
        return write_pixel_classifier(path)
    if request.param == "noise":
        return StochasticClassifier.random().write(path, samples=6)
    metadata = {"classes": NAMES, "preprocess": PREPROCESS, "members": 1}
    return Classifier.random().write(path, metadata=metadata)


def bundle(device: Environment, model: Path, target: str) -> Path:
    """The folder in the bundle, unpacked beside the model; made once."""
    if target == ARM:
        need(CROSS_COMPILER)
    folder = model.with_name(target)
    if not folder.exists():
        packed = folder.with_suffix(".zip")
        device.run("sbn", "bundle", str(model), "--target", target, "-o", str(packed))
        with zipfile.ZipFile(packed) as archive:
            assert archive.testzip() is None
            archive.extractall(folder)
    (inner,) = folder.iterdir()
    assert inner.name == model.stem
    assert [path.name for path in inner.iterdir()] == [target]
    return inner / target


def test_wheel_with_the_library_for_arm_keeps_its_platform_tag(wheel: Path) -> None:
    need(CROSS_COMPILER)
    with zipfile.ZipFile(wheel) as archive:
        assert {*ARM_LIBRARIES, ARM_PROGRAM}.issubset(archive.namelist())
        assert archive.getinfo(ARM_PROGRAM).external_attr >> 16 & 0o100
    assert system_libraries(wheel) == {"libc.so.6"}


def programs(folder: Path, language: str) -> list[str]:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("target", TARGETS)
def test_bundle_is_whole(device: Environment, model: Path, target: str) -> None:
    folder = bundle(device, model, target)
    with zipfile.ZipFile(model.with_name(f"{target}.zip")) as archive:
        names = {name.removeprefix(f"model-1/{target}/") for name in archive.namelist()}
    compiled = {"libsbn.so", "libsbn_native.so.1"}
    files = {"model-1.onnx", "classes.txt", "sbn.h", "classify.c", "classify.py", *compiled}
    assert names == files | {"README.md", "SHA256SUMS"}
    assert (folder / "classify.py").read_text(encoding="utf-8").strip() in (
        "\n".join(programs(folder, "python"))
    )
    assert (folder / "classify.c").read_bytes() == (RUNTIME / "examples/classify.c").read_bytes()
    checked = run("sha256sum", "--strict", "-c", "SHA256SUMS", cwd=folder, LC_ALL="C")
    assert set(checked.splitlines()) == {f"{name}: OK" for name in names - {"SHA256SUMS"}}
    assert (folder / "model-1.onnx").read_bytes() == model.read_bytes()
    classes = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert classes == list(Session(model).metadata["classes"])
    for name in compiled:
        library = (folder / name).read_bytes()
        assert int.from_bytes(library[18:20], "little") == {"x86_64": 62}.get(target[6:], 183)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "{{" not in readme
    assert "\n\n\n" not in readme
    assert all(f"`{name}`" in readme for name in files)
    assert str(device.path) not in readme
    assert str(ROOT) not in readme


def test_several_targets_have_a_folder_each(
    device: Environment, model: Path, tmp_path: Path
) -> None:
    """Each holds what a bundle for that target alone does."""
    need(CROSS_COMPILER)
    packed = tmp_path / "all.zip"
    chosen = [word for target in (*TARGETS, TARGETS[0]) for word in ("--target", target)]
    report = json.loads(
        device.run("sbn", "bundle", str(model), *chosen, "-o", str(packed), "--json")
    )
    assert report["targets"] == list(TARGETS)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
        assert len(set(archive.namelist())) == len(archive.namelist())
    for target in TARGETS:
        with zipfile.ZipFile(bundle(device, model, target).parents[1].with_suffix(".zip")) as alone:
            for name in alone.namelist():
                assert (tmp_path / name).read_bytes() == alone.read(name)
    assert sorted(path.name for path in (tmp_path / "model-1").iterdir()) == sorted(TARGETS)


def test_same_input_gives_the_same_bytes(device: Environment, model: Path, tmp_path: Path) -> None:
    bundle(device, model, "linux-x86_64")
    again = tmp_path / "again.zip"
    device.run("sbn", "bundle", str(model), "--target", "linux-x86_64", "-o", str(again))
    assert again.read_bytes() == model.with_name("linux-x86_64.zip").read_bytes()


def expected(model: Path) -> tuple[bytes, int, float]:
    """An image's bytes, its class and that class's probability."""
    session = Session(model, threads=1)
    (image,) = random_images(1, seed=3)
    probabilities = session.predict_proba(session.preprocess(image[np.newaxis]))[0]
    return image.tobytes(), int(probabilities.argmax()), float(probabilities.max())


def test_python_program_runs(device: Environment, model: Path) -> None:
    folder = bundle(device, model, "linux-x86_64")
    image, label, probability = expected(model)
    (folder / "image.raw").write_bytes(image)
    (program,) = programs(folder, "python")
    (folder / "program.py").write_text(f"{program}\n", encoding="utf-8")
    own = Environment(device.path, folder)
    done = own.try_run("python", "-W", "error", "program.py", "image.raw")
    assert done.stderr == ""
    name, said = done.stdout.rsplit(maxsplit=1)
    assert name == Session(model).metadata["classes"][label]
    assert float(said) == pytest.approx(probability, abs=1e-6)
    short = own.try_run("python", "program.py", "SHA256SUMS")
    assert short.returncode == 1
    assert "bytes, and an image has" in short.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_c_program_runs(device: Environment, model: Path, target: str) -> None:
    """Compiled as README.md says; that for ARM under the emulator."""
    emulated: tuple[str, ...] = ()
    if target == ARM:
        need("qemu-aarch64")
        emulated = emulator("cortex-a53")
    folder = bundle(device, model, target)
    image, label, probability = expected(model)
    (folder / "image.raw").write_bytes(image)
    compiled_as_described(folder, CROSS_COMPILER if target == ARM else "cc")
    said = run(*emulated, "./classify", "image.raw", "model-1.onnx", cwd=folder)
    name, _, found = said.rpartition(", probability ")
    assert name == Session(model).metadata["classes"][label]
    assert float(found) == pytest.approx(probability, abs=1e-6)


@pytest.fixture(scope="module")
def without_libraries(device: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The same installation, as it is where no compiler for other targets was at hand."""
    folder = tmp_path_factory.mktemp("without")
    shutil.copytree(device.path, folder / "venv", symlinks=True)
    for libraries in folder.glob("venv/lib/*/site-packages/sbn_deploy/libraries"):
        shutil.rmtree(libraries)
    return Environment(folder / "venv", folder)


@pytest.mark.parametrize("target", [ARM, "android", "web"])
def test_missing_library_is_named_with_the_remedy(
    without_libraries: Environment, model: Path, target: str, tmp_path: Path
) -> None:
    output = tmp_path / "bundle.zip"
    # Its own script starts the Python that it was copied from.
    done = without_libraries.try_run(
        *("python", "-m", "sbn_deploy.cli", "bundle", str(model)),
        *("--target", target, "-o", str(output)),
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    name, remedy = {
        ARM: ("libsbn.so", "g++-aarch64-linux-gnu && pip install -C cmake.define.SBN_AARCH64=ON"),
        "android": (
            "sbn-runtime.zip",
            "jdk-headless && pip install -C cmake.define.SBN_ANDROID=ON",
        ),
        "web": ("sbn.wasm", "clang-19 lld-19 && pip install -C cmake.define.SBN_WEB=ON"),
    }[target]
    assert line.startswith(f"sbn: error: this installation has no {name} for {target}: ")
    assert remedy in line
    assert not output.exists()


def test_report(device: Environment, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "bundle.zip"
    args = ("bundle", str(model), "--target", "linux-x86_64", "-o", str(output))
    report = json.loads(device.run("sbn", *args, "--json"))
    assert report["file_bytes"] == output.stat().st_size
    assert report["model_bytes"] == model.stat().st_size
    assert list(report["library_bytes"]) == report["targets"] == ["linux-x86_64"]
    with zipfile.ZipFile(output) as archive:
        assert report["files"] == archive.namelist()
    assert str(report["file_bytes"]) in device.run("sbn", *args).replace(",", "")
