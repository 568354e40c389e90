"""The runtime for iOS: what its files say, and that its code answers as Linux's does."""

from __future__ import annotations

import hashlib
import plistlib
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from sbn_deploy.bundle import TARGETS, bundle_model
from sbn_runtime import ModelError, Session, __version__

from ..built import ROOT, RUNTIME
from ..small_models import (
    CLASSES,
    PREPROCESS,
    Classifier,
    StochasticClassifier,
    write_pixel_classifier,
)
from . import macho
from .host import SETS, answers, compiled, functions, need, run

FRAMEWORK = ROOT / "build/ios/sbn_native.xcframework"
DEVICE, SIMULATOR = "ios-arm64", "ios-arm64_x86_64-simulator"
SYSTEM = RUNTIME / "src/libc/libSystem.tbd"
LINKER = "ld64.lld-19"

pytestmark = pytest.mark.skipif(
    not FRAMEWORK.is_dir(), reason="make ios builds the runtime for iOS, with clang-19 and lld-19"
)
EXPECTED = {
    DEVICE: {macho.ARM64: macho.IOS},
    SIMULATOR: {macho.ARM64: macho.SIMULATOR, macho.X86_64: macho.SIMULATOR},
}


def archive(slice: str) -> Path:
    return FRAMEWORK / slice / "libsbn_native.a"


def objects(slice: str) -> list[macho.MachO]:
    return [macho.read(content) for _, content in macho.members(archive(slice).read_bytes())]


def test_framework_lists_what_it_has() -> None:
    said = plistlib.loads((FRAMEWORK / "Info.plist").read_bytes())
    assert said["CFBundlePackageType"] == "XFWK"
    names = {macho.ARM64: "arm64", macho.X86_64: "x86_64"}
    for library in said["AvailableLibraries"]:
        folder = FRAMEWORK / library["LibraryIdentifier"]
        assert (folder / library["LibraryPath"]).is_file()
        assert (folder / library["HeadersPath"]).is_dir()
        processors = {names[found.processor] for found in objects(folder.name)}
        assert processors == set(library["SupportedArchitectures"])
        simulated = library.get("SupportedPlatformVariant") == "simulator"
        assert (folder.name == SIMULATOR) == simulated
    assert {entry["LibraryIdentifier"] for entry in said["AvailableLibraries"]} == set(EXPECTED)


@pytest.mark.parametrize("slice", EXPECTED)
def test_headers(slice: str) -> None:
    folder = FRAMEWORK / slice / "Headers/sbn_native"
    assert (folder / "sbn.h").read_bytes() == (RUNTIME / "include/sbn.h").read_bytes()
    assert "module sbn_native {" in (folder / "module.modulemap").read_text()


@pytest.mark.parametrize("slice", EXPECTED)
def test_each_object_is_for_its_platform(slice: str) -> None:
    found = objects(slice)
    assert len({found.processor for found in found}) == len(EXPECTED[slice])
    for one in found:
        assert one.kind == macho.OBJECT
        assert one.platform == EXPECTED[slice][one.processor]
        assert one.minimum == (14, 0)


def test_the_platform_keeps_its_register() -> None:
    """Apple clears x18."""
    need("llvm-objdump-19")
    code = run("llvm-objdump-19", "--disassemble", "--no-show-raw-insn", str(archive(DEVICE)))
    assert "x17" in code
    assert not re.search(r"\b[xw]18\b", code)


@pytest.mark.parametrize("slice", EXPECTED)
def test_needs_nothing_but_the_system(slice: str) -> None:
    for processor in EXPECTED[slice]:
        found = [one for one in objects(slice) if one.processor == processor]
        defined = set[str]().union(*(one.defined for one in found))
        hidden = set[str]().union(*(one.hidden for one in found))
        undefined = set[str]().union(*(one.undefined for one in found)) - defined - hidden
        assert undefined <= macho.system_names(SYSTEM)
        assert defined == functions()
        # An app's own names stay free: the others have ours in them.
        assert all(re.match(r"_Z\w*3sbn|sbn_", name) for name in hidden)


def linked(slice: str, processor: str, folder: Path) -> Path:
    """The static library as a dylib, as an app would contain it."""
    need(LINKER, "llvm-lipo-19")
    library, thin = folder / "libsbn_native.dylib", folder / "thin.a"
    shutil.copy(archive(slice), thin)
    if slice == SIMULATOR:
        run("llvm-lipo-19", "-thin", processor, archive(slice), "-output", thin)
    system = "ios" if slice == DEVICE else "ios-simulator"
    command = (LINKER, "-dylib", "-arch", processor, "-platform_version", system, "14.0", "14.0")
    rest = ("-fixup_chains", "-all_load", thin, "-needed_library", SYSTEM, "-o", library)
    run(*command, *rest)
    return library


@pytest.mark.parametrize(
    ("features", "cpu"), [("", "cortex-a53"), ("FEAT_DotProd,FEAT_I8MM", "max")]
)
def test_device_code_answers_as_linux(
    features: str, cpu: str, models: list[Path], expected: bytes, tmp_path: Path
) -> None:
    library = linked(DEVICE, "arm64", tmp_path)
    program = compiled(tmp_path, "aarch64", "SBN_MACHO")
    ran = answers(program, library, models, features=features, cpu=cpu)
    assert ran.sets == SETS["aarch64"]
    assert set(ran.outputs) == {expected}
    assert ran.version == __version__
    assert ran.refusal == "none.onnx: No such file or directory"


def test_simulator_code_answers_as_linux(
    models: list[Path], expected: bytes, tmp_path: Path
) -> None:
    library = linked(SIMULATOR, "x86_64", tmp_path)
    ran = answers(compiled(tmp_path, "x86_64", "SBN_MACHO"), library, models)
    assert ran.sets[:1] == ("scalar",)
    assert set(ran.outputs) == {expected}


def test_bundle_is_whole(tmp_path: Path) -> None:
    model = StochasticClassifier.random().write(tmp_path / "digits-2.onnx", samples=6)
    bundle_model(model, [TARGETS["ios"]], tmp_path / "ios.zip")
    with zipfile.ZipFile(tmp_path / "ios.zip") as packed:
        packed.extractall(tmp_path)
    folder = tmp_path / "digits-2/ios"
    assert (folder / model.name).read_bytes() == model.read_bytes()
    assert (folder / "classes.txt").read_text().splitlines() == list(CLASSES)
    for path in FRAMEWORK.rglob("*"):
        if path.is_file():
            copy = folder / FRAMEWORK.name / path.relative_to(FRAMEWORK)
            assert copy.read_bytes() == path.read_bytes()
    listed = dict(
        reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {"Package.swift", "Sources/Model.swift", "README.md"} < set(listed)
    readme = (folder / "README.md").read_text()
    assert 'url(forResource: "digits-2", withExtension: "onnx")' in readme
    assert "averages 6 samples" in readme
    assert "{{" not in readme


def test_swift_calls_functions_that_are_there(tmp_path: Path) -> None:
    swift = (ROOT / "sbn_deploy/bundle/templates/ios/Model.swift").read_text()
    called = set(re.findall(r"\b(sbn_\w+)\(", swift)) - {"sbn_tensor", "sbn_picture"}
    assert called <= functions()
    header = (RUNTIME / "include/sbn.h").read_text()
    for name in called:
        given = re.findall(rf"\b{name}\(([^()]*(?:\([^()]*\)[^()]*)*)\)", swift)
        (declared,) = re.findall(rf"^[a-z][^\n(]*[ *]{name}\(([^)]*)\)", header, re.MULTILINE)
        wanted = 0 if declared == "void" else declared.count(",") + 1
        assert {0 if not text else text.count(",") + 1 for text in given} == {wanted}, name


def test_models_that_apps_cannot_show_are_refused(tmp_path: Path) -> None:
    described = PREPROCESS | {"channels": 2, "mean": [0.5] * 2, "std": [0.5] * 2}
    model = write_pixel_classifier(tmp_path / "two.onnx", 2, preprocess=described)
    with pytest.raises(ModelError, match=r"two\.onnx: takes 2 channels, and the package for iOS"):
        bundle_model(model, [TARGETS["ios"]], tmp_path / "two.zip")
    assert Session(Classifier.random().write(tmp_path / "plain.onnx")).task == "classification"
