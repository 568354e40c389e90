"""What Android's loader, Gradle and the NDK find in the archive."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from sbn_runtime.native import native_version

from ..built import ROOT, RUNTIME
from ..packaging.arm import CORES_TO_TEST
from ..packaging.native import CROSS_COMPILER, STRICT, emulator, need, run
from ..small_models import write_pixel_classifier
from .archive import MACHINES, bionic, packed, unpacked

PREFAB = "prefab/modules/sbn_native"
API = 26
# Of bionic since API 23 or before.
FUNCTIONS = {
    *("__errno", "calloc", "fclose", "fopen", "fread", "free", "fseek", "ftell", "malloc"),
    *("memcmp", "memcpy", "memmove", "memset", "rewind", "sched_yield", "strcmp", "strerror"),
    *("strlen", "strncpy", "strtod"),
    *("pthread_cond_broadcast", "pthread_cond_destroy", "pthread_cond_init", "pthread_cond_wait"),
    *("pthread_create", "pthread_getspecific", "pthread_join", "pthread_key_create"),
    *("pthread_mutex_destroy", "pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock"),
    "pthread_setspecific",
}


@pytest.fixture
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory)


def test_it_is_whole(archive: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed())) as whole:
        assert whole.testzip() is None
        names = [name for name in whole.namelist() if not name.endswith("/")]
    assert len(names) == len(set(names))
    assert packed() == packed()
    libraries = {
        *(f"jni/{abi}/libsbn_native.so" for abi in MACHINES),
        *(f"{PREFAB}/libs/android.{abi}/libsbn_native.so" for abi in MACHINES),
    }
    assert set(names) == libraries | {
        "AndroidManifest.xml", "LICENSE", "R.txt", "classes.jar", "proguard.txt",
        "META-INF/com/android/build/gradle/aar-metadata.properties",
        "prefab/prefab.json", f"{PREFAB}/module.json", f"{PREFAB}/include/sbn.h",
        *(f"{PREFAB}/libs/android.{abi}/abi.json" for abi in MACHINES),
    }  # fmt: skip
    manifest = ElementTree.parse(archive / "AndroidManifest.xml").getroot()
    assert manifest.get("package") == "sbn.runtime"
    (sdk,) = manifest.iter("uses-sdk")
    assert set(sdk.attrib.values()) == {str(API)}
    assert (archive / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_package_for_the_ndk(archive: Path) -> None:
    package = json.loads((archive / "prefab/prefab.json").read_text())
    assert (package["name"], package["version"]) == ("sbn", native_version())
    assert json.loads((archive / PREFAB / "module.json").read_text())["library_name"] == (
        "libsbn_native"
    )
    header = archive / PREFAB / "include/sbn.h"
    assert header.read_bytes() == (RUNTIME / "include/sbn.h").read_bytes()
    for abi in MACHINES:
        folder = archive / PREFAB / f"libs/android.{abi}"
        said = json.loads((folder / "abi.json").read_text())
        assert (said["abi"], said["api"], said["stl"]) == (abi, API, "none")
        library = (folder / "libsbn_native.so").read_bytes()
        assert library == (archive / f"jni/{abi}/libsbn_native.so").read_bytes()


def test_the_rules_keep_what_the_library_looks_for(archive: Path) -> None:
    rules = (archive / "proguard.txt").read_text()
    (kept,) = re.findall(r"^-keepclasseswithmembernames,includedescriptorclasses class (\S+) \{",
                         rules, re.MULTILINE)  # fmt: skip
    listed = run("readelf", "--dyn-syms", "-W", archive / "jni/arm64-v8a/libsbn_native.so")
    functions = set(re.findall(r" Java_(\w+)_(\w+)$", listed, re.MULTILINE))
    assert {name.replace("_", ".") for name, _ in functions} == {kept}
    source = (RUNTIME / "android/java/sbn/runtime/Library.java").read_text()
    assert {name for _, name in functions} == set(re.findall(r"static native \w+ (\w+)\(", source))


@pytest.mark.parametrize("abi", MACHINES)
def test_the_library_loads_on_android(archive: Path, abi: str) -> None:
    """It needs bionic's libc alone, and of that old functions; pages of 16 KB; no text relocations;
    nothing is written that is executed, and no thread-local storage of newer loaders is used."""
    need("readelf")
    library = archive / f"jni/{abi}/libsbn_native.so"
    listed = run("readelf", "-hdlW", library)
    assert f"Machine:                           {MACHINES[abi]}" in listed
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", listed) == ["libc.so"]
    assert re.findall(r"\(SONAME\).*\[(.*)\]", listed) == ["libsbn_native.so"]
    for absent in ("TEXTREL", "(RPATH)", "(RUNPATH)", "VERNEED", " TLS "):
        assert absent not in listed
    segments = re.findall(r"^  LOAD +(\S+) +(\S+) .* ([R ][W ][E ]) (0x\w+)$", listed, re.MULTILINE)
    assert len(segments) >= 3
    for offset, address, flags, alignment in segments:
        assert int(alignment, 16) == 16384
        assert (int(address, 16) - int(offset, 16)) % 16384 == 0
        assert flags not in ("RWE", " WE")
    (begin, size) = re.findall(r"GNU_RELRO +\S+ +(\S+) +\S+ +\S+ +(\S+)", listed)[0]
    assert (int(begin, 16) + int(size, 16)) % 16384 == 0
    assert "GNU_STACK" in listed
    symbols = run("readelf", "--dyn-syms", "-W", library)
    undefined = set(re.findall(r" UND (\S+)$", symbols, re.MULTILINE))
    assert undefined
    assert undefined <= FUNCTIONS
    assert library.stat().st_size <= 1_200_000


def test_the_platform_keeps_its_register(archive: Path) -> None:
    """Android has a stack in x18."""
    need("aarch64-linux-gnu-objdump")
    library = archive / "jni/arm64-v8a/libsbn_native.so"
    code = run("aarch64-linux-gnu-objdump", "--disassemble", "--no-show-raw-insn", library)
    assert re.search(r"\bx17\b", code)
    assert not re.search(r"\b[xw]18\b", code)


def test_it_exports_what_the_header_declares(archive: Path) -> None:
    need("readelf")
    header = (RUNTIME / "include/sbn.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^[\w *]+?(\w+)\(", header, re.MULTILINE)) - {"RegisterCustomOps"}
    for abi in MACHINES:
        symbols = run("readelf", "--dyn-syms", "-W", archive / f"jni/{abi}/libsbn_native.so")
        defined = set(re.findall(r"FUNC +GLOBAL +DEFAULT +\d+ (\S+)$", symbols, re.MULTILINE))
        assert {name for name in defined if not name.startswith("Java_")} == declared


@pytest.mark.parametrize("core", CORES_TO_TEST)
def test_on_arm(archive: Path, core: str, tmp_path: Path) -> None:
    """The library for phones classifies under qemu, on two threads, as Python does here."""
    need(CROSS_COMPILER, "qemu-aarch64")
    from ..native.test_example import classifies_pixels

    stand_in = bionic(CROSS_COMPILER, tmp_path / "bionic")
    library = archive / "jni/arm64-v8a/libsbn_native.so"
    source = RUNTIME / "examples/classify.c"
    program = tmp_path / "classify"
    libraries = (library, stand_in / "libc.so")
    run(CROSS_COMPILER, *STRICT, source, "-I", RUNTIME / "include", *libraries, "-o", program)
    folders = f"LD_LIBRARY_PATH={stand_in}:{library.parent}"
    write_pixel_classifier(tmp_path / "model.onnx", 3)
    classifies_pixels(tmp_path, 3, *emulator(core), "-E", folders, program)
