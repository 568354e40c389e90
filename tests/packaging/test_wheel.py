"""The wheel holds what it should, and the base install works by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import warnings
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement

from sbn_deploy.bundle.targets import IOS_LIBRARIES
from sbn_runtime import Session

from ..small_models import random_images, write_pixel_classifier
from .conftest import Environment
from .wheels import (
    CONSTRAINTS,
    CROSS_COMPILER,
    ROOT,
    can_build_for_android,
    can_build_for_browsers,
    can_build_for_ios,
    check,
    pip,
    system_libraries,
)

WORKSTATION_ONLY = (
    "jinja2",
    "matplotlib",
    "onnx",
    "onnxscript",
    "PIL",
    "pydantic",
    "rich",
    "safetensors",
    "sklearn",
    "tensorflow",
    "torch",
)
PACKAGES = {
    "sbn_deploy": ROOT / "sbn_deploy",
    "sbn_converters": ROOT / "converters" / "sbn_converters",
    "sbn_runtime": ROOT / "runtime" / "sbn_runtime",
}
LIBRARIES = {"sbn_runtime/libsbn.so", "sbn_runtime/libsbn_native.so"}


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_one_wheel_per_platform_serves_every_python(wheel: Path, project: dict[str, Any]) -> None:
    name, version, python, abi, platform = wheel.stem.split("-", 4)
    assert (name, version) == ("sbn_deploy", project["version"])
    assert (python, abi) == ("py3", "none")
    assert platform.startswith("manylinux_2_28_")


def test_wheel_is_small(wheel: Path) -> None:
    """With everything for phones and browsers in it."""
    assert wheel.stat().st_size <= 12_000_000


def test_wheel_keeps_its_platform_tag(wheel: Path) -> None:
    assert system_libraries(wheel) == {"libc.so.6"}


def test_wheel_that_needs_a_newer_system_is_found(wheel: Path, tmp_path: Path) -> None:
    """pthread_create moved to libc in glibc 2.34."""
    library = tmp_path / "libsbn.so"
    source = "#include <pthread.h>\nvoid* needed = reinterpret_cast<void*>(pthread_create);\n"
    command = ["c++", "-shared", "-fPIC", "-x", "c++", "-", "-o", library]
    subprocess.run(command, input=source, text=True, check=True)
    broken = Path(shutil.copy(wheel, tmp_path / wheel.name))
    with zipfile.ZipFile(broken, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name is there twice; the last one counts
        archive.write(library, "sbn_runtime/libsbn.so")
    with pytest.raises(ValueError, match=r"does not keep its tag.*manylinux_2_3"):
        check(broken)


def test_wheel_holds_every_file_and_the_libraries(names: set[str]) -> None:
    """Modules, templates, and the script that runs on a device."""
    files = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }
    assert {"sbn_deploy/remote/agent.sh", "sbn_deploy/py.typed"} < files
    missing = (files | LIBRARIES) - names
    assert not missing


def test_wheel_holds_nothing_else(names: set[str], project: dict[str, Any]) -> None:
    known = (*PACKAGES, f"sbn_deploy-{project['version']}.dist-info")
    assert {name.split("/")[0] for name in names} == set(known)
    compiled = {name for name in names if name.endswith((".so", ".a", ".wasm", ".zip"))}
    arm = "sbn_deploy/libraries/aarch64"
    others = {
        f"{arm}/libsbn.so": shutil.which(CROSS_COMPILER) is not None,
        f"{arm}/libsbn_native.so": shutil.which(CROSS_COMPILER) is not None,
        "sbn_deploy/libraries/web/sbn.wasm": can_build_for_browsers(),
        "sbn_deploy/libraries/android/sbn-runtime.zip": can_build_for_android(),
        **{f"sbn_deploy/libraries/ios/{name}": can_build_for_ios() for name in IOS_LIBRARIES},
    }
    assert compiled == LIBRARIES | {name for name, can_be_built in others.items() if can_be_built}
    of_bundles = ("/bundle/templates/", "sbn_deploy/libraries/c/", "/Headers/sbn_native/")
    ours = {name for name in names if not any(part in name for part in of_bundles)}
    assert not [name for name in ours if name.endswith((".pyc", ".cc", ".h", ".cmake"))]


def test_base_install_requires_numpy_and_onnxruntime_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    wanted = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    for system, more in (("linux", set()), ("win32", {"psutil"}), ("darwin", {"psutil"})):
        place = {"extra": "", "sys_platform": system}
        base = {one.name for one in wanted if one.marker is None or one.marker.evaluate(place)}
        assert base == {"numpy", "onnxruntime"} | more
    extras = set(metadata.get_all("Provides-Extra", []))
    assert extras == {
        "train",
        "onnx",
        "tflite",
        "report",
        "tune",
        "ray",
        "hub",
        "all",
        "docs",
        "dev",
    }


def test_every_part_states_the_version_of_the_project(
    device: Environment, project: dict[str, Any]
) -> None:
    code = (
        "import sbn_deploy, sbn_runtime; from sbn_runtime.native import native_version; "
        "print(sbn_deploy.__version__, sbn_runtime.__version__, native_version())"
    )
    assert device.run("python", "-c", code).split() == [project["version"]] * 3


def test_version_is_said_once(project: dict[str, Any]) -> None:
    literal = f'"{project["version"]}"'
    sources = [path for folder in PACKAGES.values() for path in folder.rglob("*.py")]
    assert not [path for path in sources if literal in path.read_text()]


def test_device_has_none_of_the_workstation_packages(device: Environment) -> None:
    found = device.run(
        "python",
        "-c",
        "import sys; from importlib.util import find_spec\n"
        "print(*(name for name in sys.argv[1:] if find_spec(name)))",
        *WORKSTATION_ONLY,
    )
    assert found.split() == []


def test_runtime_finds_its_library_on_a_device(device: Environment) -> None:
    printed = device.run(
        "python",
        "-c",
        "import sbn_runtime as r; print(r.library_path(), r.isa(), *r.available_isas())",
    )
    path, isa, *available = printed.split()
    assert Path(path).is_file()
    assert Path(path).is_relative_to(device.path.resolve())
    assert isa in available
    assert available[0] == "scalar"


def test_command_works_on_a_device(device: Environment) -> None:
    assert "doctor" in device.run("sbn", "--help")
    assert device.run("sbn", "doctor")
    assert isinstance(json.loads(device.run("sbn", "doctor", "--json")), dict)


def test_numpy_is_enough(wheel: Path, tmp_path: Path) -> None:
    """The wheel without what it requires: files run in engine native."""
    python = tmp_path / "venv/bin/python"
    venv.create(tmp_path / "venv", symlinks=True)
    pip(f"--python={python}", "install", CONSTRAINTS, "numpy")
    pip(f"--python={python}", "install", "--no-deps", str(wheel))
    model = write_pixel_classifier(tmp_path / "model.onnx")
    np.save(tmp_path / "images.npy", random_images(5))
    code = (
        "import sys, numpy as np; from sbn_runtime import Session; s = Session(sys.argv[1]); "
        "print(s.engine, *s.predict(np.load(sys.argv[2])))"
    )
    command = [python, "-c", code, model, tmp_path / "images.npy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    wanted = Session(model, engine="sbn").predict(random_images(5))
    assert done.stdout.split() == ["native", *map(str, wanted)], done.stderr
    doctor = [python.with_name("sbn"), "doctor", "--json"]
    done = subprocess.run(doctor, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    engines = json.loads(done.stdout)["engines"]
    assert engines.pop("native") is None
    assert all("pip install onnxruntime" in problem for problem in engines.values())


@pytest.mark.parametrize("verb", ["train", "export", "validate", "demo"])
def test_workstation_verb_on_a_device_names_what_is_missing(
    device: Environment, verb: str, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.touch()
    args = {
        "train": ["--data", "digits", "--out", str(tmp_path)],
        "export": [str(checkpoint), "-o", str(tmp_path / "model.onnx")],
        "validate": [str(checkpoint), "--against", str(checkpoint)],
        "demo": [],
    }[verb]
    done = device.try_run("sbn", verb, *args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "pip install 'sbn-deploy[" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("module", ["sbn_runtime", "sbn_deploy.cli"])
def test_import_loads_no_workstation_package(module: str) -> None:
    """Also here, where all of them are installed."""
    code = f"import sys, {module}; print(*({set(WORKSTATION_ONLY)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
