"""`sbn doctor`: is this machine ready?"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sbn_deploy.bundle.targets import TARGETS, Target
from sbn_deploy.system import host
from sbn_runtime.errors import SbnError

from .common import new_parser, show_json, show_table

if TYPE_CHECKING:
    from .common import Subparsers

# What each extra brings, by distribution name.
OPTIONAL = {
    "train": (
        *("torch", "safetensors", "scikit-learn", "pydantic", "pillow", "pyarrow", "rich", "shtab"),
    ),
    "onnx": ("flatbuffers", "onnx", "onnxscript"),
    "tflite": ("larq-compute-engine",),
    "report": ("jinja2", "matplotlib"),
    "tune": ("optuna",),
    "ray": ("ray",),
    "hub": ("huggingface-hub",),
}
# What others' programs are for.
PROGRAMS = {"ssh": "--remote ssh://USER@HOST", "adb": "--remote adb:"}


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    new_parser(
        subparsers,
        "doctor",
        description="Shows the CPU, the kernel sets it can run, versions, what measurements cannot"
        " have on this system, the engines that run models here, which packages and programs are"
        " missing for which verbs, and which targets `sbn bundle` has the library for. The exit"
        " status is 1 if models cannot run on this machine.",
        example="sbn doctor",
    )


def run(options: argparse.Namespace) -> int:
    """Describes the machine; returns 1 when the kernels do not load."""
    from sbn_deploy.machine.describe import describe, version_of
    from sbn_runtime import available_isas
    from sbn_runtime.engines import ENGINES, find

    machine: dict[str, Any] = {}
    isas: tuple[str, ...] = ()
    engines = {name: _problem_of(name) for name in ENGINES}
    problem = engines[find(None).name]
    try:
        machine = asdict(describe())
        isas = available_isas()
    except SbnError as error:
        problem = str(error)
    packages = [
        {"package": package, "version": version_of(package), "extra": extra}
        for extra, names in OPTIONAL.items()
        for package in names
    ]
    programs = {name: shutil.which(name) for name in PROGRAMS}
    targets = {name: _lacks(target) for name, target in TARGETS.items()}
    if options.json:
        show_json(
            {
                "ok": problem is None,
                "problem": problem,
                "machine": machine,
                "available_isas": isas,
                "engines": engines,
                "optional": packages,
                "programs": programs,
                "bundle_targets": targets,
            }
        )
    else:
        lacks = machine.pop("lacks", ())
        shown = machine | machine.pop("state", {})
        show_table(
            ("this machine", ""),
            [(name.replace("_", " "), value) for name, value in shown.items()]
            + [("available isas", ", ".join(isas))]
            + [("not on this system", sentence) for sentence in lacks],
        )
        print()
        show_table(
            ("engine", "", "state"),
            [(row.name, row.text, engines[row.name] or "is here") for row in ENGINES.values()],
        )
        print()
        show_table(
            ("optional package", "version", "to install"),
            [
                (
                    entry["package"],
                    entry["version"] or "missing",
                    "" if entry["version"] else f"pip install {_source(entry)}",
                )
                for entry in packages
            ],
        )
        print()
        show_table(
            ("program", "for", "state"),
            [
                (name, use, "is here" if programs[name] else f"missing: {host.INSTALL[name]}")
                for name, use in PROGRAMS.items()
            ],
        )
        print()
        alike: dict[str, list[str]] = defaultdict(list)
        for name, missing in targets.items():
            alike[missing or "is here"].append(name)
        show_table(
            ("bundle target", "library"),
            [(", ".join(names), state) for state, names in alike.items()],
        )
        print(f"\n{problem or 'models run here'}")
    return 1 if problem else 0


def _problem_of(engine: str) -> str | None:
    """Why an engine cannot be used here."""
    from sbn_runtime import engines, native

    try:
        engines.find(engine)
        if engine == engines.NATIVE:
            native.runtime()
        elif engine == engines.SBN:
            from sbn_runtime.engines.onnxruntime import session_options

            session_options()
    except SbnError as error:
        return str(error)
    return None


def _lacks(target: Target) -> str | None:
    """How to get the libraries that bundles for a platform need, where they are not here."""
    try:
        target.libraries()
    except SbnError:
        return f"missing: {target.remedy}"
    return None


def _source(entry: Mapping[str, str | None]) -> str:
    """A device that reads images needs Pillow alone, not what trains."""
    return "pillow" if entry["package"] == "pillow" else f"'sbn-deploy[{entry['extra']}]'"
