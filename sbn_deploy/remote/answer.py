"""What `sbn_layers` answers on a phone, and the record that comes of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.benchmark.rounds import BLOCK
from sbn_deploy.benchmark.stability import RULE_OF_CORE, instability
from sbn_deploy.benchmark.timing import summarise
from sbn_deploy.machine.cpu_state import state_of
from sbn_deploy.records.benchmark import (
    Benchmark,
    Operators,
    Settings,
    TimedOperator,
)
from sbn_deploy.records.machine import CpuState, Machine
from sbn_deploy.records.measurement import Model, head
from sbn_deploy.records.remote import Remote
from sbn_deploy.system.arm_cores import ARM_CORES
from sbn_runtime import RemoteError

from .plan import Plan

ENGINE = "sbn operators"
SCOPE = (
    "timed are the sbn operators of the model, one after the other on one core, called as"
    " onnxruntime calls them but without it; what onnxruntime computes itself is not timed; the"
    " whole model is measured in an app (docs/phones.md) or with --remote ssh://"
)
_ARM = 0x41


@dataclass(frozen=True)
class Description:
    """What a phone says about itself; empty where it says nothing."""

    abi: str
    model: str
    soc: str
    android: str


@dataclass(frozen=True)
class Measured:
    """What the program found.

    Attributes:
        isa: kernel set in use.
        version: of the kernels.
        cores: that the program could use.
        core: that it ran on; -1 if it could not choose one.
        core_name, core_max_mhz: of that core, None where the system does not tell.
        before, after: state of that core, while it was busy.
        ns: of each operator in each call, [operators, runs].
    """

    isa: str
    version: str
    cores: int
    core: int
    core_name: str | None
    core_max_mhz: float | None
    before: CpuState
    after: CpuState
    ns: NDArray[np.int64]


def read_answer(text: str, plan: Plan, phone: str) -> Measured:
    """Reads what the program wrote on the phone of that name.

    Raises RemoteError where that is something else, and where an operator computed other bits
    than the scalar kernels on the phone or than this machine.
    """
    try:
        fields = json.loads(text)
        layers = fields["layers"]
        core = int(fields["core"])
        system = f"sys/devices/system/cpu/cpu{core}"
        most = fields["before"].get(f"{system}/cpufreq/cpuinfo_max_freq")
        measured = Measured(
            isa=str(fields["isa"]),
            version=str(fields["version"]),
            cores=int(fields["cores"]),
            core=core,
            core_name=_core_name(fields["before"].get(f"{system}/regs/identification/midr_el1")),
            core_max_mhz=int(most) / 1000 if most else None,
            before=_state(core, fields["before"]),
            after=_state(core, fields["after"]),
            ns=np.array([layer["ns"] for layer in layers], np.int64),
        )
        agreeing = [(bool(layer["agree"]), bool(layer["expected"])) for layer in layers]
        if measured.ns.ndim != 2 or len(layers) != len(plan.timed) or not measured.ns.size:
            raise ValueError("not one entry for each operator")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RemoteError(f"{phone}: sbn_layers answers in an unknown format") from error
    for operator, (agree, expected) in zip(plan.timed, agreeing, strict=True):
        if not (agree and expected):
            other = "the same on this machine" if agree else "the scalar ones there"
            raise RemoteError(
                f"{phone}: {operator.op} {operator.name!r}: the {measured.isa} kernels give other"
                f" bits than {other}; its times are meaningless; please report this"
            )
    return measured


def record_of(
    measured: Measured,
    plan: Plan,
    phone: Description,
    model: Model,
    settings: Settings,
    remote: Remote,
) -> Benchmark:
    """What was measured: all sbn operators as one call, and each of them."""
    calls = measured.ns.sum(axis=0) / 1e6
    rounds = np.array_split(calls, max(1, len(calls) // BLOCK))
    whole = summarise(model.name, ENGINE, 1, settings.batch[0], [rounds])
    names = (phone.model, phone.soc, measured.core_name)
    machine = Machine(
        id=remote.host,
        cpu=", ".join(filter(None, names)) or "unknown phone",
        architecture="aarch64",
        cores=measured.cores,
        core=measured.core if measured.core >= 0 else None,
        core_name=measured.core_name,
        core_max_mhz=measured.core_max_mhz,
        isa=measured.isa,
        state=measured.before,
        system=f"Android {phone.android}" if phone.android else "Android",
        sbn_kernels=measured.version,
    )
    return Benchmark(
        **head(machine),
        models=(model,),
        settings=replace(settings, max_seconds=None),
        before=measured.before,
        after=measured.after,
        results=(whole,),
        # The program for phones does not count what else ran.
        unstable=tuple(
            instability(measured.before, measured.after, {ENGINE: whole}, background=None)
        ),
        rule=RULE_OF_CORE,
        operators=Operators(
            timed=tuple(
                TimedOperator(
                    **asdict(operator),
                    agree=True,
                    min_ms=float(ns.min()) / 1e6,
                    p50_ms=float(np.median(ns)) / 1e6,
                    p90_ms=float(np.percentile(ns, 90)) / 1e6,
                )
                for operator, ns in zip(plan.timed, measured.ns, strict=True)
            ),
            not_timed=plan.not_timed,
            scope=SCOPE,
        ),
        remote=remote,
    )


def _core_name(register: str | None) -> str | None:
    """Of a core by its main ID register."""
    if not register:
        return None
    value = int(register, 16)
    return ARM_CORES.get(f"0x{value >> 4 & 0xFFF:03x}") if value >> 24 & 0xFF == _ARM else None


def _state(core: int, contents: Mapping[str, str]) -> CpuState:
    """From the contents of files of /sys and /proc, by path."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in contents.items():
            path = PurePosixPath(name)
            if path.parts[0] not in ("sys", "proc") or ".." in path.parts:
                raise ValueError(f"unexpected path {name!r}")
            Path(root, path).parent.mkdir(parents=True, exist_ok=True)
            Path(root, path).write_text(text, encoding="utf-8")
        return state_of([core], Path(root))
