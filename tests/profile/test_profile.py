"""Layer by layer: times, work, and the bottleneck."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_converters.onnx.inspect import inspect_model
from sbn_deploy.cli import main
from sbn_deploy.profile.node_times import NodeTime, Profiler
from sbn_deploy.profile.profile import bottleneck, profile_model, without_profiler
from sbn_deploy.records.profile import Layer
from sbn_deploy.untrained import export_untrained
from sbn_runtime.errors import OutputError
from sbn_runtime.native import clock_ghz
from tests.small_models import Classifier

LAYER = Layer(
    name="a",
    op="ConvScale",
    kind="binary",
    binary_macs=1000,
    us=10.0,
    share=0.5,
    macs_per_cycle=1.0,
    percent_of_peak=40.0,
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "digits.onnx"
    export_untrained("digits-cnn", path)
    return path


def test_every_node_is_named(tmp_path: Path) -> None:
    path = Classifier.random().write(tmp_path / "model.onnx")
    profiler = Profiler(path, threads=1)
    for _ in range(4):
        profiler.run({"input": np.zeros((2, 1, 4, 4), np.float32)})
    nodes = profiler.finish(warmup=1)
    assert {"Pack", "DenseScale", "Softmax"} <= {node.op for node in nodes}
    assert next(node for node in nodes if node.op == "Softmax").outputs == ((2, 3),)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_profile_has_all_work(network: Path, threads: int) -> None:
    batch = 3
    calls: list[None] = []
    figures = profile_model(
        network, threads=threads, batch=batch, runs=12, report=lambda: calls.append(None)
    )
    profile = SimpleNamespace(**figures)
    assert len(calls) == 12
    assert (profile.threads, profile.batch, profile.runs) == (threads, batch, 12)
    known = inspect_model(network)
    for kind in ("binary_macs", "int8_macs", "float_macs"):
        found = sum(getattr(layer, kind) for layer in profile.layers)
        assert found == batch * sum(getattr(layer, kind) for layer in known), kind
    assert sum(layer.share for layer in profile.layers) == pytest.approx(1)
    # The layers cannot take longer than the call that they are part of.
    assert sum(layer.us for layer in profile.layers) <= profile.call_us * (1 + 1e-9)
    assert profile.peak.binary_macs_per_cycle > 0
    for layer in profile.layers:
        assert (layer.percent_of_peak is None) == (layer.binary_macs == 0 or layer.us == 0)
    head = next(layer for layer in profile.layers if layer.name == "head.linear")
    packed = next(layer for layer in known if layer.name == "head.linear")
    signs = 8 * -(-prod(packed.input_shape) // 64)
    constants = packed.packed_bytes + packed.float_bytes
    assert head.bytes == batch * (signs + 4 * packed.output_shape[0]) + constants


@given(
    st.lists(st.floats(0.5, 1000), min_size=1, max_size=30),
    st.floats(0, 1.5),
)
def test_the_profiler_takes_the_same_from_each(times: list[float], share: float) -> None:
    nodes = [NodeTime(str(i), "Conv", us, (), (), 0, 0) for i, us in enumerate(times)]
    target = share * sum(times)
    left, cost = without_profiler(nodes, target)
    assert [node.us for node in left] == [max(0.0, us - cost) for us in times]
    assert sum(node.us for node in left) == pytest.approx(min(target, sum(times)), abs=1e-6)


def test_the_layer_that_loses_most_is_named() -> None:
    slow = replace(LAYER, name="slow", us=12.0, binary_macs=9000, percent_of_peak=75.0)
    floats = replace(
        LAYER, name="stem", kind="float", us=9.0, float_macs=10, binary_macs=0, why="a first layer"
    )
    # At 1,000 MACs a microsecond they could save 9, 3 and 8.99.
    found = bottleneck([LAYER, slow, floats], 1000)
    assert (found.name, found.lost_us) == ("a", 9.0)
    assert "40 % of the peak" in found.why
    assert found.why.endswith(
        "to make it faster, give it channels in multiples of 64: the kernel"
        " works on words of 64 signs"
    )
    found = bottleneck([slow, floats], 1000)
    assert found.name == "stem"
    assert "a first layer" in found.why
    assert 'a first layer is fast with first = "int8"' in found.why
    moving = replace(LAYER, kind="other", us=50.0, binary_macs=0)
    for layer in (slow, moving, replace(LAYER, kind="int8")):
        assert "; to make it faster, " in bottleneck([layer], 1000).why


def test_the_clock_runs_at_a_credible_speed() -> None:
    assert 0.01 < clock_ghz() < 10


def test_the_verb(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "profile.json"
    assert main(["profile", str(network), "--runs", "5", "-o", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "bottleneck: " in shown
    assert "█" in shown
    record = json.loads(output.read_text())
    assert record["kind"] == "profile"
    assert record["model"]["arch"] == "digits-cnn"
    assert record["peak"]["binary_macs_per_cycle"] > 0
    assert "stage2.conv" in [layer["name"] for layer in record["layers"]]


def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    assert main(["profile", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_no_room_for_what_was_measured(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime does not say that it could not write."""
    profiler = Profiler(network, threads=1)
    profiler.run({"input": np.zeros((1, 1, 8, 8), np.float32)})
    Path(profiler._folder.name, "cut").write_text('[{"cat": "No')
    monkeypatch.setattr(
        profiler._engine,
        "session",
        SimpleNamespace(end_profiling=lambda: str(Path(profiler._folder.name, "cut"))),
    )
    with pytest.raises(OutputError, match="free some space, or set TMPDIR to another folder"):
        profiler.finish(warmup=0)
