"""Which arithmetic training chooses, and that a run keeps to it."""

from __future__ import annotations

import signal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from sbn_deploy.system import host
from sbn_deploy.train import precision
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.loop import train
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import Stopped

CPU = torch.device("cpu")


def _instructions(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Has this machine name these, and torch none."""
    monkeypatch.setattr(host, "cpu_features", lambda: frozenset(names))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType({}))


def _config(folder: Path, **settings: Any) -> TrainConfig:
    return TrainConfig(out=folder, arch="digits-cnn", epochs=1, members=1, **settings)


@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("names", [("avx2",), ("avx2", "avx512_bf16"), ("amx_bf16",)])
def test_bfloat16_is_for_large_networks_and_machines_that_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], width: int
) -> None:
    _instructions(monkeypatch, *names)
    config = prepare(_config(tmp_path, model={"width": width})).config
    # 6 and 24 million multiply-accumulates.
    large = width == 128 and names != ("avx2",)
    assert config.precision == ("bfloat16" if large else "float32")


def test_what_is_asked_for_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _instructions(monkeypatch, "avx512_bf16")
    config = _config(tmp_path, model={"width": 128}, precision="float32")
    assert prepare(config).config.precision == "float32"


def test_torch_tells_where_the_system_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _instructions(monkeypatch)
    assert not precision.has_bfloat16(CPU)
    told = MappingProxyType({"avx512_bf16": True, "amx_bf16": False, "architecture": "x86_64"})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    assert precision.has_bfloat16(CPU)


def test_bfloat16_without_instructions_is_said_to_be_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instructions(monkeypatch, "avx2")
    for asked in ("bfloat16", "auto"):
        lines: list[str] = []
        config = _config(tmp_path / asked, model={"width": 4}, precision=asked)
        train(config, report=lines.append)
        assert any("bfloat16 is slow here" in line for line in lines) == (asked == "bfloat16")
        expected = next(line for line in lines if line.startswith("expected: "))
        assert ("in bfloat16;" if asked == "bfloat16" else "in float32;") in expected


@pytest.mark.parametrize("asked", [{}, {"precision": "auto"}])
def test_a_run_resumed_on_another_machine_keeps_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    _instructions(monkeypatch, "avx512_bf16")
    monkeypatch.setattr(precision, "LARGE", 1)

    def stop(_: object) -> None:
        raise Stopped("stopped", signal.SIGTERM)

    settings: dict[str, Any] = {"model": {"width": 4}, **asked}
    with pytest.raises(Stopped):
        train(_config(tmp_path, **settings), after_epoch=stop)
    _instructions(monkeypatch, "avx2")
    result = train(_config(tmp_path, **settings), resume=True)
    assert result.config.precision == result.metrics["recipe"]["precision"] == "bfloat16"
