"""What the runtime for browsers answers, in Node.js, against onnxruntime and the native library."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.datasets import load_digits

from sbn_deploy.untrained import export_untrained
from sbn_runtime import Preprocess, Session, ood
from sbn_runtime.calibrated import network_rows
from sbn_runtime.calibration import Calibration, Unknown
from sbn_runtime.raster import Raster

from ..built import RUNTIME
from ..calibrations import calibrated, calibration
from ..native.library import Model as NativeModel
from ..native.test_answers import CASES, FORMS, GOLDEN, SMALLER, feeds_of, run, with_inner_outputs
from ..runtime.one_node import Array, session
from ..sampled import few
from ..small_models import write_pixel_classifier
from .node import KERNELS, WASM, Job, call, needs_node, needs_wasm, picture, tensors

pytestmark = [needs_wasm, needs_node]
MOST_BYTES = 500_000
NUMBERS = ("seed", "samples")


def calls_of(feeds: dict[str, Array]) -> tuple[dict[str, Array], dict[str, int]]:
    """What `run` takes: images, and the numbers of noise."""
    options = {name: int(feeds[name]) for name in NUMBERS if name in feeds}
    return {name: value for name, value in feeds.items() if value.ndim}, options


def compare(path: Path) -> None:
    """All tensors of our operators, in every kernel set and two batches, and the model itself."""
    plain, inner = onnx.load(path), with_inner_outputs(onnx.load(path))
    for proto in (plain, inner):
        reference, content = session(proto, ""), proto.SerializeToString()
        native = NativeModel(content)
        batches = []
        for seed, batch in enumerate((2, 1)):
            feeds = feeds_of(proto, batch, seed)
            if "first_sample" in feeds:
                feeds["first_sample"] = np.array(0)
            batches.append(feeds)
        calls = [("run", calls_of(feeds)) for feeds in batches]
        jobs = [Job(content, kernels, calls=calls) for kernels in KERNELS]
        names = [output.name for output in reference.get_outputs()]
        for kernels, answered in zip(KERNELS, call(*jobs), strict=True):
            for feeds, outputs in zip(batches, answered, strict=True):
                assert not isinstance(outputs, Exception), outputs
                found, same = tensors(outputs), run(native, feeds)
                wanted = dict(zip(names, reference.run(names, feeds), strict=True))
                assert found.keys() == wanted.keys()
                for name, value in wanted.items():
                    what = f"{name}, {kernels}"
                    assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
                    # The same source gives the same floats on every machine.
                    np.testing.assert_array_equal(found[name], same[name], err_msg=what)
                    tolerance = 0.0
                    if value.dtype == np.float32:
                        tolerance = 1e-5 * float(np.abs(value).max(initial=0))
                    np.testing.assert_allclose(found[name], value, 0, tolerance, err_msg=what)


def test_golden_files_answer_as_when_they_were_written() -> None:
    kept = [dict(np.load(file.with_suffix(".npz"))) for file in GOLDEN]
    cases = [
        (file, inputs, name) for file, inputs in zip(GOLDEN, kept, strict=True) for name in KERNELS
    ]
    jobs = [Job(file.as_uri(), name, calls=[("run", [inputs["input"]]), ("kernels", [])])
            for file, inputs, name in cases]  # fmt: skip
    for (file, inputs, name), (outputs, kernels) in zip(cases, call(*jobs), strict=True):
        assert not isinstance(outputs, Exception), f"{file.name}: {outputs}"
        assert kernels == name
        found = tensors(outputs)
        wanted = {key: value for key, value in inputs.items() if key != "input"}
        assert found.keys() == wanted.keys()
        for output, value in wanted.items():
            tolerance = 1e-6 if output == "probabilities" else 0
            np.testing.assert_allclose(
                found[output], value, 0, tolerance, err_msg=f"{file} {output}"
            )


@pytest.mark.parametrize("form", FORMS)
def test_the_trained_network_for_digits(form: str, digits: Path) -> None:
    compare(digits / f"{form}.onnx")


@pytest.mark.parametrize(("arch", "form"), few(CASES, 1))
def test_networks_of_the_registry(arch: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_untrained(arch, path, FORMS[form], **SMALLER.get(arch, {}))
    compare(path)


def same_prediction(found: dict[str, Any], session: Session, x: Array, **draw: int) -> None:
    wanted: Any = session.predict(x, return_uncertainty=True, **draw)
    outputs = session.run(x, **draw)
    networks = len(outputs["member_logits"]) if "member_logits" in outputs else 1
    assert found["label"] == wanted.label[0]
    assert found["className"] == session.metadata["classes"][found["label"]]
    assert len(found["rows"]) == networks
    assert found["agreement"] == wanted.agreement[0]
    np.testing.assert_allclose(found["probabilities"], wanted.probabilities[0], 0, 1e-6)
    assert found["probability"] == found["probabilities"][found["label"]]
    assert found["entropy"] == pytest.approx(wanted.entropy[0], abs=1e-6)
    assert found["mutualInformation"] == pytest.approx(wanted.mutual_information[0], abs=1e-6)
    if session.calibration is None:
        assert found["unknown"] is None
    else:
        refused = session.predict(x, reject="unknown", **draw)
        assert found["unknown"] == (refused[0] == -1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("score", ["", *ood.SCORES])
def test_predictions(form: str, score: str, digits: Path, tmp_path: Path) -> None:
    """Labels and agreement are Python's, probabilities and uncertainty up to rounding."""
    path = tmp_path / "model.onnx"
    shutil.copy(digits / f"{form}.onnx", path)
    images = load_digits().images[:6].astype(np.uint8)[..., np.newaxis]
    if score:
        calibrated(path, ten_classes(score, Session(path, threads=1), images))
    session = Session(path, threads=1)
    draws: list[dict[str, int]] = [{}]
    if session.stochastic:
        draws += [{"samples": 1}, {"samples": 8, "seed": (1 << 62) + 1}, {}]
    cases = [(image, draw) for image in images for draw in draws]
    # As bytes of a grey picture, which the model's range of 0 to 16 is made of again.
    calls = [
        ("predict", [picture((image * 255.0 / 16).round().astype(np.uint8)), draw])
        for image, draw in cases
    ]
    (answered,) = call(Job(path.as_uri(), calls=calls))
    for (image, draw), found in zip(cases, answered, strict=True):
        assert not isinstance(found, Exception), found
        same_prediction(found, session, session.preprocess(image[np.newaxis]), **draw)
    if score in ("energy", "entropy"):
        assert {found["unknown"] for found in answered} == {False, True}


def ten_classes(score: str, session: Session, images: Array) -> Calibration:
    """A calibration by which half of the images are unknown."""
    rows, logits = network_rows(session.run(session.preprocess(images)))
    threshold = float(np.median(ood.score(score, rows, logits)))
    known = Unknown(score, (0.05, 0.2), np.full((3, 2), threshold), {})
    return calibration(offsets=np.linspace(-0.5, 0.5, 10), by_class=None, unknown=known)


def test_pixels_go_in_as_they_are(tmp_path: Path) -> None:
    model = write_pixel_classifier(tmp_path / "model.onnx", 3)
    session = Session(model, threads=1)
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), np.uint8)
    described = Preprocess.from_json(session.metadata["preprocess"])
    (answered,) = call(
        Job(model.as_uri(), calls=[("predict", [picture(image)]) for image in images])
    )
    for image, found in zip(images, answered, strict=True):
        pixels = described.fitted(Raster.of_array(image))[np.newaxis]
        same_prediction(found, session, session.preprocess(pixels))


def test_what_a_model_says_of_itself(digits: Path) -> None:
    names = ["inputs", "outputs", "metadata", "task", "classes", "members", "noise", "version"]
    content = (digits / "noise.onnx").read_bytes()
    ((inputs, outputs, metadata, task, classes, members, noise, version),) = call(
        Job(content, calls=[(name, []) for name in names])
    )
    session = Session(digits / "noise.onnx", threads=1)
    assert inputs == [{"name": "input", "type": "float32", "shape": [None, 1, 8, 8]}]
    assert {output["name"] for output in outputs} == {"member_logits", "probabilities"}
    assert metadata == session.metadata
    assert (task, classes, members) == ("classification", session.metadata["classes"], 2)
    assert noise == {"samples": 3, "seed": 0}
    assert version


def test_the_module_is_small_and_imports_nothing() -> None:
    data = WASM.read_bytes()
    assert data[:8] == b"\0asm\1\0\0\0"
    assert len(data) <= MOST_BYTES
    sections = sections_of(data)
    assert 2 not in sections  # of imports
    header = (RUNTIME / "include/sbn.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^[\w *]+?(sbn_\w+)\(", header, re.MULTILINE))
    missing = {name for name in declared if name.encode() not in sections[7]}
    # picture.js and answer.js do what is for classifiers of pictures.
    pictures = {f"sbn_model_{name}" for name in ("fit", "normalise", "class", "calibrate")}
    assert missing == {"sbn_run_cycles", "sbn_model_open"} | pictures


def sections_of(data: bytes) -> dict[int, bytes]:
    """The contents of the sections of a module, by their numbers."""
    sections, at = {}, 8
    while at < len(data):
        number, size, shift = data[at], 0, 0
        while True:
            at += 1
            size |= (data[at] & 127) << shift
            shift += 7
            if data[at] < 128:
                break
        sections[number] = data[at + 1 : at + 1 + size]
        at += 1 + size
    return sections
