"""Measurements of version 1, as those of this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sbn_deploy.records.machine import CpuState

JSON = dict[str, Any]
_STATE = tuple(field.name for field in fields(CpuState))
_CONFIDENCE = {"low": "confidence_low", "high": "confidence_high"}
_SCORES = _CONFIDENCE | {"top5_low": "top5_confidence_low", "top5_high": "top5_confidence_high"}
_TIMING = {"p50_low_ms": "prediction_low_ms", "p50_high_ms": "prediction_high_ms"}
_RATIO = {"low": "prediction_low", "high": "prediction_high"}


def upgraded(content: Mapping[str, Any]) -> JSON:
    """The same in version 2. What is missing or damaged is left to the reader to refuse."""
    found = dict(content) | {"version": 2}
    if isinstance(found.get("machine"), dict):
        found["machine"] = _machine(found["machine"])
    kind = found.get("kind")
    if kind == "benchmark":
        return _benchmark(found)
    if kind == "profile":
        if "mend_first" in found:
            found["bottleneck"] = found.pop("mend_first")
        return found
    if kind == "evaluation" and "task" in found:
        return found | {"kind": "task-evaluation"}
    if isinstance(found.get("scores"), dict):
        found["scores"] = _renamed(found["scores"], _SCORES)
    found["per_class"] = [_renamed(score, _CONFIDENCE) for score in found.get("per_class", ())]
    return found


def _benchmark(found: JSON) -> JSON:
    found["results"] = [_renamed(result, _TIMING) for result in found.get("results", ())]
    found["ratios"] = [_renamed(ratio, _RATIO) for ratio in found.get("ratios", ())]
    settings = {"runs": None, "warmup": 0, "max_seconds": None} | found.get("settings", {})
    for name in ("threads", "batch"):
        settings.setdefault(name, sorted({result.get(name) for result in found["results"]}))
    found["settings"] = settings
    if isinstance(found.get("accuracy"), dict):
        found["accuracy"] = _renamed(found["accuracy"], _SCORES)
    if "layers" in found:
        found["operators"] = {
            "timed": found.pop("layers"),
            "not_timed": found.pop("not_timed", []),
            "scope": found.pop("scope", ""),
        }
        found.pop("binary_macs", None)
    local, differing = found.pop("local", {}), found.pop("differing_labels", None)
    if isinstance(found.get("remote"), dict):
        names = {"wheel": "program", "wheel_sha256": "program_sha256"}
        found["remote"] = _renamed(found["remote"], names) | {
            "differing_labels": differing,
            "here": _machine(local.get("machine", {})),
        }
    return found


def _machine(machine: Mapping[str, Any]) -> JSON:
    state = {name: machine.get(name) for name in _STATE}
    return {name: value for name, value in machine.items() if name not in _STATE} | {"state": state}


def _renamed(entry: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(entry, dict):
        return entry
    return {names.get(name, name): value for name, value in entry.items()}
