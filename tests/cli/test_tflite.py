"""TFLite files on the command line: export, validate, inspect, measure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sbn_converters.tflite.model import Model
from sbn_converters.tflite.read import read
from sbn_converters.tflite.write import write
from sbn_deploy.lce.interpreter import KERNELS, is_installed
from sbn_deploy.nn import models, storage
from sbn_deploy.train import checkpoint

from ..command import Outcome, sbn
from ..lce.tiny import binary_layer, without_lce
from ..sampled import few
from .conftest import Trained

needs_lce = pytest.mark.skipif(not is_installed(), reason="needs larq-compute-engine")


@dataclass(frozen=True)
class Exported:
    """A TFLite file of the trained network and what `sbn` said about it."""

    model: Path
    export: Outcome

    def load(self) -> Model:
        return read(self.model.read_bytes(), str(self.model))


@pytest.fixture(scope="module")
def tflite(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("tflite") / "digits.tflite"
    return Exported(path, sbn("export", trained.checkpoint, "-o", path, "--json"))


def test_export(tflite: Exported, trained: Trained) -> None:
    assert tflite.export.status == 0, tflite.export
    report = tflite.export.json
    assert report["path"] == str(tflite.model)
    assert report["file_bytes"] == tflite.model.stat().st_size
    same = {"members", "samples", "weights", "layers", "float_layers"}
    assert {key: report[key] for key in same} == {key: trained.export.json[key] for key in same}
    assert report["run_in"] == ("lce" if is_installed() else "")
    model = tflite.load()
    assert [model.tensors[index].name for index in model.outputs] == ["logits", "probabilities"]
    assert json.loads(model.metadata["sbn"])["arch"] == "digits-cnn"


def test_export_that_cannot_be_run_says_so(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "digits.tflite"
    outcome = sbn("export", trained.checkpoint, "-o", path, **without_lce())
    assert outcome.status == 0, outcome
    assert f"{path} was not run" in outcome.stderr
    assert "sbn-deploy[tflite]" in outcome.stderr
    read(path.read_bytes(), str(path))


@pytest.mark.long
def test_export_of_an_untrained_network(tmp_path: Path) -> None:
    path = tmp_path / "cifar.tflite"
    outcome = sbn("export", "--untrained", "cifar-vgg-s", "-o", path)
    assert outcome.status == 0, outcome
    model = read(path.read_bytes(), str(path))
    (pixels,) = (model.tensors[index] for index in model.inputs)
    assert (pixels.shape, pixels.dtype) == ((1, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("name", ["digits", "digits.tfl", "digits.onnx.gz"])
def test_other_suffixes(name: str, trained: Trained, tmp_path: Path) -> None:
    message = sbn("export", trained.checkpoint, "-o", tmp_path / name).refused_after_progress()
    assert ".onnx" in message
    assert ".tflite" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", [[], ["--untrained"]])
def test_noise(source: list[str], trained: Trained, tmp_path: Path) -> None:
    message = sbn(
        *("export", *source, "digits-cnn" if source else trained.checkpoint),
        *("-o", tmp_path / "noisy.tflite", "--activations", "stochastic"),
    ).refused_after_progress()
    assert "has no operator that samples noise" in message
    assert ".onnx" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_tensorflow_is_not_loaded(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "digits.tflite"
    arguments = ["export", str(trained.checkpoint), "-o", str(path)]
    code = (
        "import sys; from sbn_deploy import cli\n"
        f"status = cli.main({arguments!r})\n"
        "if not status: print(*sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = {name.partition(".")[0] for name in output.splitlines()[-1].split()}
    assert "sbn_converters" in loaded
    assert not {"tensorflow", "keras", "tf_keras", "larq"} & loaded


@needs_lce
def test_validate(tflite: Exported, trained: Trained) -> None:
    outcome = sbn(
        *("validate", tflite.model, "--against", trained.checkpoint, "--inputs", "4", "--json")
    )
    assert outcome.status == 0, outcome
    results = outcome.json["results"]
    assert [result["engine"] for result in results] == [f"lce {kind}" for kind in KERNELS]
    for result in results:
        assert result["inputs"] == 4
        assert result["compared_bits"] > 0
        assert (result["differing_bits"], result["differing_labels"]) == (0, 0)


@needs_lce
@pytest.mark.long
def test_ensemble(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "ensemble.tflite"
    drawn = ("--weights", "sample", "--members", "2", "--seed", "5")
    outcome = sbn("export", trained.checkpoint, "-o", path, *drawn, "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["members"] == 2
    outcome = sbn("validate", path, "--against", trained.checkpoint, "--inputs", "2")
    assert outcome.status == 0, outcome


@needs_lce
@pytest.mark.long
def test_validate_names_the_layer_that_differs(
    tflite: Exported, trained: Trained, tmp_path: Path
) -> None:
    model = tflite.load()
    meta = json.loads(model.metadata["sbn"])
    compared = {layer["node"] for layer in meta["layers"] if "source" in layer}
    nodes = {meta["packed"][node]["tensor"]: node for node in compared & meta["packed"].keys()}
    layer = next(op for op in model.operators if op.name == "LceBconv2d")
    weights = model.tensors[layer.inputs[1]]
    assert weights.data is not None
    weights.data = weights.data ^ np.int32(1)
    spoilt = tmp_path / "spoilt.tflite"
    spoilt.write_bytes(write(model))
    outcome = sbn("validate", spoilt, "--against", trained.checkpoint, "--inputs", "4", "--json")
    assert outcome.status == 1
    assert "Traceback" not in outcome.stderr
    (found,) = {result["first_layer"] for result in outcome.json["results"]}
    # The spoilt layer's signs are compared after pooling, if it is pooled.
    written = [model.tensors[index].name for op in model.operators for index in op.outputs]
    after = written[written.index(model.tensors[layer.outputs[0]].name) :]
    assert found == next(nodes[name] for name in after if name in nodes)


@needs_lce
def test_validate_against_another_network(
    tflite: Exported, trained: Trained, tmp_path: Path
) -> None:
    meta = storage.read_header(trained.checkpoint)
    torch.manual_seed(0)
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, models.create("digits-cnn", width=8), meta)
    message = sbn("validate", tflite.model, "--against", other).refused_after_progress()
    assert str(other) in message


def _without_metadata(model: Model) -> None:
    model.metadata = {}


def _no_object(model: Model) -> None:
    model.metadata = {"sbn": b"[]"}


def _no_json(model: Model) -> None:
    model.metadata = {"sbn": b"{"}


def _members_missing(model: Model) -> None:
    meta = json.loads(model.metadata["sbn"])
    del meta["members"]
    model.metadata = {"sbn": json.dumps(meta).encode()}


def _tensor_missing(model: Model) -> None:
    meta = json.loads(model.metadata["sbn"])
    for held in meta["packed"].values():
        held["tensor"] += "?"
    model.metadata = {"sbn": json.dumps(meta).encode()}


def _logits_renamed(model: Model) -> None:
    model.tensors[model.outputs[0]].name = "scores"


def _wrong_logits(model: Model) -> None:
    first, second = (model.tensors[index] for index in model.outputs)
    first.name, second.name = "scores", "logits"
    probabilities = next(op for op in model.operators if op.outputs == [model.outputs[1]])
    wide = model.operators[-2].inputs[0]
    probabilities.inputs, second.shape = [wide], model.tensors[wide].shape


def _another_layer(model: Model) -> None:
    meta = json.loads(model.metadata["sbn"])
    held = list(meta["packed"].values())
    held[0]["tensor"] = held[-1]["tensor"]
    model.metadata = {"sbn": json.dumps(meta).encode()}


def _turned(model: Model) -> None:
    meta = json.loads(model.metadata["sbn"])
    for held in meta["packed"].values():
        held["turned"] = "00" * 4 * 11
    model.metadata = {"sbn": json.dumps(meta).encode()}


@needs_lce
@pytest.mark.parametrize(
    ("spoil", "message"),
    few(
        [
            (_without_metadata, "was not exported by sbn-deploy"),
            (_no_object, "has damaged metadata"),
            (_no_json, "has damaged metadata"),
            (_members_missing, "'members' is None"),
            (_tensor_missing, "does not contain the layers named in its metadata"),
            (_logits_renamed, "has no output with logits"),
            (_wrong_logits, "has no output with logits"),
            (_another_layer, "are not those of the network"),
            (_turned, "does not contain the signs of"),
        ],
        4,
    ),
)
def test_validate_with_damaged_metadata(
    spoil: Callable[[Model], None],
    message: str,
    tflite: Exported,
    trained: Trained,
    tmp_path: Path,
) -> None:
    model = tflite.load()
    spoil(model)
    path = tmp_path / "spoilt.tflite"
    path.write_bytes(write(model))
    line = sbn("validate", path, "--against", trained.checkpoint).refused_after_progress()
    assert message in line
    assert str(path) in line


def test_validate_without_lce(tflite: Exported, trained: Trained) -> None:
    message = sbn(
        *("validate", tflite.model, "--against", trained.checkpoint), **without_lce()
    ).refused_after_progress()
    assert "sbn-deploy[tflite]" in message


def test_inspect(tflite: Exported, trained: Trained) -> None:
    outcome = sbn("inspect", tflite.model, "--json")
    assert outcome.status == 0, outcome
    layers, totals = outcome.json["layers"], outcome.json["totals"]
    onnx = sbn("inspect", trained.model, "--json").json["totals"]
    assert totals["binary_macs"] == onnx["binary_macs"] > 0
    assert totals["float_macs"] == onnx["float_macs"]
    assert totals["packed_bytes"] == sum(layer["packed_bytes"] for layer in layers) > 0
    assert totals["file_bytes"] == tflite.model.stat().st_size
    assert outcome.json["metadata"]["arch"] == "digits-cnn"
    assert [layer["op"] for layer in layers] == [op.name for op in tflite.load().operators]
    assert any("batch norm" in layer["fused"] for layer in layers)
    table = sbn("inspect", tflite.model).stdout
    assert all(layer["name"] in table for layer in layers)


def test_inspect_a_file_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(write(binary_layer(np.random.default_rng(0))))
    outcome = sbn("inspect", path, "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["metadata"] == {}
    quantize, convolution = outcome.json["layers"]
    assert quantize["output_shape"] == convolution["input_shape"] == [4, 4, 40]
    assert convolution["output_shape"] == [4, 4, 8]
    assert convolution["binary_macs"] == 4 * 4 * 40 * 8
    assert convolution["packed_bytes"] == 8 * 2 * 4
    assert quantize["binary_macs"] == quantize["float_macs"] == 0
    # From 4 x 4 x 40 floats to two words of 32 bits for each pixel.
    assert outcome.json["totals"]["working_bytes"] == 4 * 4 * (4 * 40 + 2 * 4)


def test_names_do_not_control_the_terminal(tmp_path: Path) -> None:
    model = binary_layer(np.random.default_rng(0))
    model.tensors[1].name = "\x1b[2Jsigns"
    path = tmp_path / "hostile.tflite"
    path.write_bytes(write(model))
    table = sbn("inspect", path)
    assert table.status == 0
    assert "[2Jsigns" in table.stdout
    assert "\x1b" not in table.stdout
    assert "\x1b" not in sbn("inspect", path.with_name("\x1b.tflite")).stderr


@pytest.mark.parametrize("verb", ["inspect", pytest.param("validate", marks=needs_lce)])
class TestUnfitFiles:
    """Files that are no models, or damaged ones."""

    def run(self, verb: str, path: Path, trained: Trained) -> str:
        more = ["--against", trained.checkpoint] if verb == "validate" else []
        return sbn(verb, path, *more).refused_after_progress()

    def test_missing(self, verb: str, trained: Trained, tmp_path: Path) -> None:
        path = tmp_path / "none.tflite"
        assert f"{path}: No such file" in self.run(verb, path, trained)

    @pytest.mark.parametrize("keep", [0, 7, 1000, -1])
    def test_truncated(
        self, keep: int, verb: str, tflite: Exported, trained: Trained, tmp_path: Path
    ) -> None:
        path = tmp_path / "cut.tflite"
        path.write_bytes(tflite.model.read_bytes()[:keep])
        assert str(path) in self.run(verb, path, trained)

    def test_random_bytes(self, verb: str, trained: Trained, tmp_path: Path) -> None:
        path = tmp_path / "noise.tflite"
        path.write_bytes(np.random.default_rng(0).bytes(5000))
        assert str(path) in self.run(verb, path, trained)

    def test_random_bytes_in_a_model(
        self, verb: str, tflite: Exported, trained: Trained, tmp_path: Path
    ) -> None:
        """Nothing crashes, whatever is read; a weight may change without notice."""
        rng = np.random.default_rng(0)
        for number in range(3):
            data = bytearray(tflite.model.read_bytes())
            for position in rng.integers(0, len(data), 40):
                data[position] = rng.integers(256)
            path = tmp_path / f"spoilt{number}.tflite"
            path.write_bytes(data)
            more = ["--against", trained.checkpoint] if verb == "validate" else []
            outcome = sbn(verb, path, *more)
            assert outcome.status in (0, 1, 2)
            assert "Traceback" not in outcome.stderr


@needs_lce
def test_benchmark(trained: Trained) -> None:
    outcome = sbn(
        *("benchmark", trained.model, "--compare", "lce", "--batch", "1,2"),
        *("--runs", "2", "--warmup", "1", "--json"),
    )
    assert outcome.status == 0, outcome
    results = outcome.json["results"]
    assert [(result["engine"], result["batch"]) for result in results] == [
        ("sbn", 1),
        ("lce", 1),
        ("sbn", 2),
    ]
    assert [result["mode"] in ("indirect", "indirect-xnnpack") for result in results] == [
        False,
        True,
        False,
    ]


def test_benchmark_of_a_batch(trained: Trained) -> None:
    message = sbn("benchmark", trained.model, "--compare", "lce", "--batch", "2").refused()
    assert "--batch 1" in message


def test_benchmark_without_lce(trained: Trained) -> None:
    message = sbn(
        "benchmark", trained.model, "--compare", "lce", **without_lce()
    ).refused_after_progress()
    assert "sbn-deploy[tflite]" in message
