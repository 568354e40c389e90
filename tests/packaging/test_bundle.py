"""A bundle holds all that another machine needs, and the programs in its README work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sbn_runtime import Session

from ..small_models import (
    PREPROCESS,
    Classifier,
    StochasticClassifier,
    random_images,
    write_pixel_classifier,
)
from .conftest import Environment
from .native import HERE, STRICT, need, onnxruntime_library, run
from .wheels import CROSS_COMPILER, ROOT, system_libraries

ARM = ("android-arm64", "linux-arm64")
TARGETS = (*ARM, "linux-x86_64")
ARM_LIBRARY = "sbn_deploy/libraries/aarch64/libsbn.so"
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
    if target in ARM:
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
        assert {ARM_LIBRARY, ARM_PROGRAM}.issubset(archive.namelist())
        assert archive.getinfo(ARM_PROGRAM).external_attr >> 16 & 0o100
    assert system_libraries(wheel) == {"libc.so.6"}


def programs(folder: Path, language: str) -> list[str]:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("target", TARGETS)
def test_bundle_is_whole(device: Environment, model: Path, target: str) -> None:
    folder = bundle(device, model, target)
    android = target == "android-arm64"
    assets, libraries = ("assets/", "jniLibs/arm64-v8a/") if android else ("", "")
    files = {f"{assets}model-1.onnx", f"{assets}classes.txt", f"{libraries}libsbn.so"}
    with zipfile.ZipFile(model.with_name(f"{target}.zip")) as archive:
        names = {name.removeprefix(f"model-1/{target}/") for name in archive.namelist()}
    own = {"classify.c", "Classifier.kt"} | (set() if android else {"classify.py"})
    assert names == files | own | {"README.md", "SHA256SUMS"}
    for name in own:
        language = {".c": "c", ".kt": "kotlin", ".py": "python"}[Path(name).suffix]
        assert (folder / name).read_text(encoding="utf-8").strip() in (
            "\n".join(programs(folder, language))
        )
    checked = run("sha256sum", "--strict", "-c", "SHA256SUMS", cwd=folder, LC_ALL="C")
    assert set(checked.splitlines()) == {f"{name}: OK" for name in names - {"SHA256SUMS"}}
    assert (folder / assets / "model-1.onnx").read_bytes() == model.read_bytes()
    classes = (folder / assets / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert classes == list(Session(model).metadata["classes"])
    library = (folder / libraries / "libsbn.so").read_bytes()
    assert int.from_bytes(library[18:20], "little") == {"x86_64": 62}.get(target[6:], 183)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "{{" not in readme
    assert "\n\n\n" not in readme
    assert all(f"`{name}`" in readme for name in files)
    assert str(device.path) not in readme
    assert str(ROOT) not in readme


def test_android_and_linux_share_the_library(device: Environment, model: Path) -> None:
    libraries = [bundle(device, model, target).rglob("libsbn.so") for target in ARM]
    android, linux = (next(found).read_bytes() for found in libraries)
    assert android == linux


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


@pytest.mark.parametrize("target", ["linux-x86_64", "android-arm64"])
def test_python_program_runs(device: Environment, model: Path, target: str) -> None:
    folder = bundle(device, model, target)
    image, label, probability = expected(model)
    (folder / "image.raw").write_bytes(image)
    (program,) = programs(folder, "python")
    if target == "linux-x86_64":
        (folder / "program.py").write_text(f"{program}\n", encoding="utf-8")
        own = Environment(device.path, folder)
        done = own.try_run("python", "-W", "error", "program.py", "image.raw")
        _answers(done, model, label, probability)
        short = own.try_run("python", "program.py", "SHA256SUMS")
        assert short.returncode == 1
        assert "bytes, and an image has" in short.stderr
        return
    line = re.compile(r"^(images = )np\.zeros\(\((.*)\), np\.uint8\).*$", re.MULTILINE)
    program, count = line.subn(r'\1np.fromfile("image.raw", np.uint8).reshape(\2)', program)
    assert count == 1
    (folder / "program.py").write_text(f"{program}\n", encoding="utf-8")
    done = Environment(device.path, folder).try_run("python", "-W", "error", "program.py")
    _answers(done, model, label, probability)


def _answers(
    done: subprocess.CompletedProcess[str], model: Path, label: int, probability: float
) -> None:
    """What a program printed is the model's answer."""
    assert done.stderr == ""
    name, said = done.stdout.rsplit(maxsplit=1)
    assert name == Session(model).metadata["classes"][label]
    assert float(said) == pytest.approx(probability, abs=1e-6)


def test_c_program_runs(device: Environment, model: Path) -> None:
    need("cc")
    folder = bundle(device, model, "linux-x86_64")
    image, label, probability = expected(model)
    (folder / "image.raw").write_bytes(image)
    (folder / "classify.c").write_text(programs(folder, "c")[0], encoding="utf-8")
    onnxruntime_library(Path(onnxruntime.__file__).parent / "capi", folder)
    link = ("-L", ".", "-lonnxruntime", f"-Wl,-rpath,{folder}", "-o", "classify")
    run("cc", *STRICT, "classify.c", "-I", HERE / "include", *link, cwd=folder)
    said = run("./classify", "image.raw", cwd=folder)
    assert re.fullmatch(rf"class {label}, probability (\d\.\d{{6}})\n", said)
    assert float(said.split()[-1]) == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize("target", ARM)
def test_c_program_compiles_for_arm(device: Environment, model: Path, target: str) -> None:
    folder = bundle(device, model, target)
    (folder / "classify.c").write_text(programs(folder, "c")[0], encoding="utf-8")
    run(CROSS_COMPILER, *STRICT, "-c", "classify.c", "-I", HERE / "include", cwd=folder)


@pytest.mark.parametrize("target", TARGETS)
def test_kotlin_program_knows_the_model(device: Environment, model: Path, target: str) -> None:
    """No compiler for it is at hand: the facts it states are looked at."""
    program = programs(bundle(device, model, target), "kotlin")[0]
    for opening, closing in ("()", "{}", "[]"):
        assert program.count(opening) == program.count(closing)
    session = Session(model)
    pixels = session.inputs[0].dtype == "uint8"
    assert f"OnnxJavaType.{'UINT8' if pixels else 'FLOAT'}" in program
    assert f"longArrayOf(1, {', '.join(map(str, session.inputs[0].shape[1:]))})" in program
    assert f"allocateDirect({'' if pixels else '4 * '}16)" in program
    assert ("floatArrayOf(0.5f)" in program) != pixels
    assert ("Bitmap" in program) == (target == "android-arm64")


@pytest.mark.parametrize(("channels", "known"), [(1, True), (2, False), (3, True)])
def test_bitmaps_are_read_where_it_is_known_how(
    channels: int, known: bool, device: Environment, tmp_path: Path
) -> None:
    model = write_pixel_classifier(tmp_path / "model-1.onnx", channels)
    program = programs(bundle(device, model, "android-arm64"), "kotlin")[0]
    assert ("Bitmap" in program) == known


@pytest.fixture(scope="module")
def without_libraries(device: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The same installation, as it is where no compiler for other targets was at hand."""
    folder = tmp_path_factory.mktemp("without")
    shutil.copytree(device.path, folder / "venv", symlinks=True)
    for libraries in folder.glob("venv/lib/*/site-packages/sbn_deploy/libraries"):
        shutil.rmtree(libraries)
    return Environment(folder / "venv", folder)


@pytest.mark.parametrize("target", [*ARM, "web"])
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
    name = "sbn.wasm" if target == "web" else "libsbn.so"
    assert line.startswith(f"sbn: error: this installation has no {name} for {target}: ")
    remedy = "clang-19 lld-19 && pip install -C cmake.define.SBN_WEB=ON .`"
    if target in ARM:
        remedy = "g++-aarch64-linux-gnu && pip install -C cmake.define.SBN_AARCH64=ON .`"
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
