"""What the native runtime answers, against onnxruntime with the same operators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from sbn_deploy.export import export_checkpoint
from sbn_deploy.materialize import Form
from sbn_deploy.nn import models
from sbn_deploy.untrained import export_untrained
from sbn_runtime import available_isas

from ..built import ROOT
from ..once import once
from ..runtime.one_node import Array, session
from ..sampled import few
from .library import Model, NativeError, kernel_set, library
from .networks import FORMS, NOISE, SMALLER
from .sessions import compare_sessions

GOLDEN = sorted((ROOT / "tests/golden").glob("*.onnx"))
CASES = [(arch, form) for form in FORMS for arch in models.names()]


def feeds_of(proto: onnx.ModelProto, batch: int, seed: int) -> dict[str, Array]:
    """Random images, and a seed and a number of samples where the model takes them."""
    rng = np.random.default_rng(seed)
    numbers = {"seed": int(rng.integers(1 << 40)), "samples": seed % 3 + 1, "first_sample": seed}
    feeds: dict[str, Array] = {}
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        shape = [dim.dim_value or batch for dim in tensor.shape.dim]
        if value.name in numbers:
            feeds[value.name] = np.array(numbers[value.name])
        elif tensor.elem_type == onnx.TensorProto.UINT8:
            feeds[value.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            feeds[value.name] = rng.integers(-8, 9, shape).astype(np.float32) / 8
    return feeds


def run(model: Model, feeds: Mapping[str, Array]) -> dict[str, Array]:
    return model.run({k: v if v.ndim else int(v) for k, v in feeds.items()})


def with_inner_outputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the results of all operators of ours as outputs too."""
    names = {output.name for output in proto.graph.output}
    for node in proto.graph.node:
        for name in node.output if node.domain == "sbn" else ():
            if name not in names:
                proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return proto


def compare(
    model: Model, reference: onnxruntime.InferenceSession, feeds: Mapping[str, Array]
) -> None:
    names = [output.name for output in reference.get_outputs()]
    wanted = dict(zip(names, reference.run(names, dict(feeds)), strict=True))
    answers = run(model, feeds)
    assert answers.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (answers[name].dtype, answers[name].shape) == (value.dtype, value.shape), name
        if value.dtype == np.float32:
            largest = np.abs(value).max(initial=0)
            np.testing.assert_allclose(answers[name], value, 0, 1e-5 * largest, err_msg=name)
        else:
            np.testing.assert_array_equal(answers[name], value, err_msg=name)


def compare_file(path: Path, isas: tuple[str, ...] = ("",)) -> None:
    """Batches of several sizes in one context, for each kernel set."""
    plain, inner = onnx.load(path), with_inner_outputs(onnx.load(path))
    for isa in isas:
        for proto in (plain, inner):
            reference = session(proto, isa or library().sbn_isa().decode())
            with kernel_set(isa):
                model = Model(proto.SerializeToString())
            for seed, batch in enumerate((2, 1, 5)):
                compare(model, reference, feeds_of(proto, batch, seed))


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("file", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_answer_as_when_they_were_written(file: Path, isa: str) -> None:
    kept = dict(np.load(file.with_suffix(".npz")))
    with kernel_set(isa):
        model = Model(file)
    answers = model.run({"input": kept.pop("input")})
    assert answers.keys() == kept.keys()
    for name, wanted in kept.items():
        tolerance = 1e-6 if name == "probabilities" else 0
        np.testing.assert_allclose(answers[name], wanted, 0, tolerance, err_msg=name)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network for digits, once with fixed signs and once with noise."""

    def make(folder: Path) -> None:
        checkpoint = ROOT / "models/digits-cnn/checkpoint.safetensors"
        export_checkpoint(checkpoint, folder / "threshold.onnx", Form())
        export_checkpoint(checkpoint, folder / "noise.onnx", NOISE)

    return once(tmp_path_factory, "native-digits", make)


@pytest.mark.parametrize("name", ["threshold", "noise"])
def test_the_trained_network_for_digits(name: str, digits: Path) -> None:
    compare_file(digits / f"{name}.onnx", available_isas())


@pytest.mark.parametrize(("arch", "form"), few(CASES, 4))
def test_networks_of_the_registry(arch: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_untrained(arch, path, FORMS[form], **SMALLER.get(arch, {}))
    compare_file(path)
    compare_sessions(path)


@pytest.mark.parametrize("name", few(["cifar-s", "cifar-vgg-s", "spoken-digits"], 1))
def test_trained_networks(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_checkpoint(ROOT / f"models/{name}/checkpoint.safetensors", path, NOISE)
    compare_file(path, available_isas())
    compare_sessions(path)


def test_what_a_file_says_of_itself(digits: Path) -> None:
    model = Model(digits / "noise.onnx")
    number = ("i8", [])
    assert model.inputs == {
        "input": ("f4", [-1, 1, 8, 8]),
        "seed": number,
        "samples": number,
        "first_sample": number,
    }
    assert set(model.outputs) == {"member_logits", "probabilities"}
    metadata: dict[str, Any] = json.loads(model.metadata("sbn") or "")
    assert (metadata["arch"], metadata["samples"]) == ("digits-cnn", 3)
    assert model.metadata("none") is None


def test_seeds_and_samples(digits: Path) -> None:
    """The defaults are the file's; a seed decides, and sizes follow the number of samples."""
    x = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    model, other = (Model(digits / "noise.onnx") for _ in range(2))
    default = model.run({"input": x})["member_logits"]
    assert default.shape == (2 * 3, 2, 10)
    more = model.run({"input": x, "seed": 7, "samples": 9})["member_logits"]
    np.testing.assert_array_equal(
        other.run({"input": x, "seed": 7, "samples": 9})["member_logits"], more
    )
    assert more.shape == (2 * 9, 2, 10)
    assert (more != model.run({"input": x, "seed": 8})["member_logits"]).any()
    again = model.run({"input": x, "samples": 3, "seed": 0})["member_logits"]
    np.testing.assert_array_equal(again, default)


def test_threads_change_no_bit(digits: Path) -> None:
    x = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
    model = Model(digits / "noise.onnx")
    alone = model.run({"input": x})
    for threads in (2, 5, 1, 3):
        model.set_threads(threads)
        for name, answer in model.run({"input": x}).items():
            np.testing.assert_array_equal(answer, alone[name])
    for threads in (0, -1, 257):
        with pytest.raises(NativeError, match=r"must lie in \[1, 256\]"):
            model.set_threads(threads)


def test_memory_grows_with_the_batch_only(digits: Path) -> None:
    model = Model(digits / "threshold.onnx")
    one, ten = model.arena_bytes(1), model.arena_bytes(10)
    assert 0 < one < ten <= 10 * one
