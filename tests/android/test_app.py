"""The app of a bundle: a whole project, whose code compiles and computes what Python does."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_deploy.bundle import TARGETS, bundle_model
from sbn_runtime import ModelError, Preprocess, Session
from sbn_runtime.raster import Raster

from ..built import ROOT
from ..calibrations import calibrated
from ..command import sbn
from ..packaging.native import run
from ..small_models import (
    CLASSES,
    PREPROCESS,
    Classifier,
    StochasticClassifier,
    write_pixel_classifier,
)
from .archive import HERE, compiled, installed, jvm, packed, unpacked

ANDROID = "{http://schemas.android.com/apk/res/android}"
SOURCES = "app/src/main/java/com/example/classifier"
PICTURE = Preprocess(3, 4, 4, 200, (0.5,) * 3, (0.5,) * 3, fit="pad")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a bundle."""
    installed()
    model = write_pixel_classifier(tmp_path / "fruit.onnx", 3, preprocess=PICTURE.to_json())
    done = sbn("bundle", model, "--target", "android", "-o", tmp_path / "f.zip", "--json")
    assert done.json["library_bytes"] == {"android": installed().stat().st_size}
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        assert archive.namelist() == done.json["files"]
        archive.extractall(tmp_path)
    return tmp_path / "fruit/android"


def built(project: Path, archive: Path) -> Path:
    """The app's classes, compiled against the archive and declarations of Android."""
    layout = ElementTree.parse(project / "app/src/main/res/layout/main.xml").getroot()
    ids = [view.get(f"{ANDROID}id", "").removeprefix("@+id/") for view in layout.iter()]
    strings = ElementTree.parse(project / "app/src/main/res/values/strings.xml").getroot()
    kinds = {
        "layout": ["main"],
        "id": [name for name in ids if name],
        "string": [str(entry.get("name")) for entry in strings],
    }
    generated = project / "R.java"
    fields = "\n".join(
        f"    static final class {kind} {{\n"
        + "".join(f"        static final int {name} = {i};\n" for i, name in enumerate(names))
        + "    }"
        for kind, names in kinds.items()
    )
    generated.write_text(f"package com.example.classifier;\n\nfinal class R {{\n{fields}\n}}\n")
    sources = [*(project / SOURCES).glob("*.java"), HERE / "AskApp.java", generated]
    classes = project / "classes"
    run(
        *("javac", "--release", "11", "-Xlint:all", "-Werror", "-d", classes),
        *("-cp", archive / "classes.jar", "-sourcepath", HERE / "stubs", "-implicit:class"),
        *sources,
    )
    return classes


def test_the_project_is_whole(project: Path) -> None:
    run("sha256sum", "--strict", "-c", "SHA256SUMS", cwd=project)
    for file in project.rglob("*"):
        if file.suffix in (".aar", ".onnx") or file.is_dir():
            continue
        text = file.read_text(encoding="utf-8")
        assert "{{" not in text
        assert str(ROOT) not in text
        if file.suffix == ".xml":
            ElementTree.fromstring(text)
    assert (project / "app/libs/sbn-runtime.aar").read_bytes() == packed()
    model = (project.parents[1] / "fruit.onnx").read_bytes()
    assert (project / "app/src/main/assets/fruit.onnx").read_bytes() == model
    gradle = (project / "app/build.gradle").read_text()
    for said in ('implementation files("libs/sbn-runtime.aar")', 'noCompress "onnx"',
                 'abiFilters "arm64-v8a", "x86_64"', "minSdk = 26"):  # fmt: skip
        assert said in gradle
    texts = ElementTree.parse(project / "app/src/main/res/values/strings.xml").getroot()
    named = {entry.get("name"): entry.text for entry in texts}
    assert (named["app_name"], named["model"]) == ("fruit", "fruit.onnx")
    used = set()
    for name in ("AndroidManifest.xml", "res/layout/main.xml"):
        used |= set(re.findall(r"@string/(\w+)", (project / "app/src/main" / name).read_text()))
    assert used <= named.keys()
    manifest = ElementTree.parse(project / "app/src/main/AndroidManifest.xml").getroot()
    classes = [entry.get(f"{ANDROID}name", "") for tag in ("activity", "provider")
               for entry in manifest.iter(tag)]  # fmt: skip
    assert all((project / f"{SOURCES}/{name[1:]}.java").is_file() for name in classes)
    assert not list(manifest.iter("uses-permission"))


def test_the_app_answers_as_python(
    project: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of bitmaps with alpha and without, premultiplied or not, and in the graphics processor."""
    compiled(tmp_path_factory)  # skips where there is no JDK
    classes = built(project, unpacked(tmp_path_factory))
    model = tmp_path / "fruit.onnx"
    session = Session(model, engine="native", threads=1)
    rng = np.random.default_rng(0)
    words: list[str] = [str(model)]
    wanted = []
    for alpha, config, premultiplied in product(
        (True, False), ("ARGB_8888", "HARDWARE"), ("true", "false")
    ):
        orientation = len(words) % 8 + 1
        columns = 10 + len(words)
        rgba = rng.integers(0, 256, (9, columns, 4), np.uint8)
        if not alpha:
            rgba[..., 3] = 255
        file = tmp_path / f"{len(words)}.argb"
        file.write_bytes(rgba[..., [2, 1, 0, 3]].tobytes())
        words += [str(file), str(columns), str(orientation), config, premultiplied]
        wanted.append(PICTURE.fitted(Raster(rgba, "rgba", orientation=orientation)))
    said = jvm(tmp_path_factory, classes, "com.example.classifier.AskApp", *words).splitlines()
    assert len(said) == 5 * len(wanted)
    for index, image in enumerate(wanted):
        name, probabilities, size, seen, timed = said[5 * index : 5 * index + 5]
        (expected,) = session.predict_proba(image[np.newaxis])
        assert name == CLASSES[expected.argmax()]
        assert np.array_equal(np.float32(json.loads(probabilities)), expected)
        assert (size, timed) == ("4 4", "true")
        found = np.array(json.loads(seen), np.int32).view("<u4")
        shown = 255 * image.reshape(-1, 3).astype(np.uint32) // image.max()
        colours = 255 << 24 | shown[:, 0] << 16 | shown[:, 1] << 8 | shown[:, 2]
        assert np.array_equal(found, colours)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"task": "multilabel"}, "its task is multilabel, and the app for Android"),
        ({"classes": CLASSES[:2]}, "names 2 classes but has 3"),
        ({"preprocess": {"shape": [16], "mean": [0.0] * 16, "std": [1.0] * 16}}, "takes numbers"),
    ],
)
def test_models_that_no_app_shows(metadata: dict[str, Any], message: str, tmp_path: Path) -> None:
    installed()
    said = {"classes": CLASSES, "preprocess": PREPROCESS} | metadata
    model = Classifier.random().write(tmp_path / "model.onnx", metadata=said)
    with pytest.raises(ModelError, match=message):
        bundle_model(model, [TARGETS["android"]], tmp_path / "f.zip")
    assert not (tmp_path / "f.zip").exists()


def test_what_its_readme_says_of_the_file(tmp_path: Path) -> None:
    installed()
    for noise, calibration in ((False, False), (True, True)):
        kind = StochasticClassifier if noise else Classifier
        model = kind.random().write(tmp_path / f"{noise}.onnx")
        if calibration:
            calibrated(model)
        bundle_model(model, [TARGETS["android"]], tmp_path / "f.zip")
        with zipfile.ZipFile(tmp_path / "f.zip") as archive:
            text = archive.read(f"{noise}/android/README.md").decode()
        assert ("calibrated probability" in text) == calibration
        assert ("The model has noise" in text) == noise
        assert "\n\n\n" not in text
