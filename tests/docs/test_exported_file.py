"""The page that specifies exported files names what is in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest

from sbn_deploy.data.digests import TRAINING_IMAGES
from sbn_deploy.export import export_checkpoint
from sbn_deploy.materialize import Form
from sbn_runtime import calibration
from sbn_runtime.modelfile import METADATA_KEY

from .pages import ROOT

PAGE = (ROOT / "docs" / "exported-file.md").read_text(encoding="utf-8")
CHECKPOINT = ROOT / "models" / "digits-cnn" / "checkpoint.safetensors"


@pytest.mark.parametrize(
    "form", [Form(), Form(weights="sample", members=2, activations="stochastic", samples=2)]
)
def test_everything_in_a_file_is_specified(form: Form, tmp_path: Path) -> None:
    export_checkpoint(CHECKPOINT, tmp_path / "m.onnx", form)
    model = onnx.load(tmp_path / "m.onnx")
    (entry,) = model.metadata_props
    assert entry.key == METADATA_KEY
    tables = [line for line in PAGE.splitlines() if line.startswith("|")]
    named = {name for line in tables for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert set(json.loads(entry.value)) - named == set()
    # Of other files: calibrated, imported, with layers in 8 bits.
    assert {TRAINING_IMAGES, calibration.KEY, "imported", "source_sha256", "int8"} <= named
    assert {node.name for node in (*model.graph.input, *model.graph.output)} - named == {
        *(["member_logits"] if form.stochastic else [])
    }
    assert f"IR version {model.ir_version}" in PAGE
    versions = {opset.domain: opset.version for opset in model.opset_import}
    assert f"opset {versions['']}" in PAGE
    assert f"domain `sbn`, version {versions['sbn']}" in PAGE
    assert not any(tensor.external_data for tensor in model.graph.initializer)
