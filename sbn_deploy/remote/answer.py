"""What `sbn_measure` answers on a phone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.benchmark.worker import Started
from sbn_deploy.machine.cpu_state import state_of
from sbn_deploy.profile.node_times import NodeTime, Times, middle_mean
from sbn_deploy.records.machine import CpuState
from sbn_deploy.system.arm_cores import ARM_CORES
from sbn_runtime import RemoteError

PROGRAM = "sbn_measure"
_ARM = 0x41


@dataclass(frozen=True)
class Place:
    """Where on the phone something was measured.

    Attributes:
        isa: kernel set in use.
        version: of the kernels.
        usable: how many cores the program could have used.
        cores: that it kept to, the fastest first; none if the system did not let it choose.
        core_name, core_max_mhz: of the first, None where the system does not tell.
        before, after: state of these cores, while they were busy.
    """

    isa: str
    version: str
    usable: int
    cores: tuple[int, ...]
    core_name: str | None
    core_max_mhz: float | None
    before: CpuState
    after: CpuState


@dataclass(frozen=True)
class Timed:
    """One start of the program; `ns` has the times of its calls in nanoseconds."""

    place: Place
    started: Started
    ns: NDArray[np.int64]


def read_timed(text: str, phone: str) -> Timed:
    """Reads what `sbn_measure time` wrote on the phone of that name.

    Raises RemoteError where that is something else.
    """
    with _reading(phone):
        fields = json.loads(text)
        resident, peak = int(fields["resident_bytes"]), int(fields["peak_bytes"])
        ns = np.array(fields["ns"], np.int64)
        if ns.ndim != 1 or not ns.size or ns.min() <= 0:
            raise ValueError("no times")
        started = Started(
            start_ms=int(fields["load_ns"]) / 1e6,
            peak_bytes=max(0, peak - resident) if peak and resident else None,
            process_bytes=peak or None,
            overhead_us=int(fields["clock_ns"]) / 1e3,
            call_ms=float(ns[-1]) / 1e6,
        )
        return Timed(_place(fields), started, ns)


def read_profiled(text: str, phone: str, threads: int, batch: int) -> tuple[Place, Times]:
    """Reads what `sbn_measure profile` wrote. Raises as `read_timed` does."""
    with _reading(phone):
        fields = json.loads(text)
        place = _place(fields)
        nodes = tuple(_node(layer) for layer in fields["layers"])
        calls, peaks = ([int(ns) for ns in fields[name]] for name in ("call_ns", "peak_ns"))
        if not nodes or not calls:
            raise ValueError("no layers")
        return place, Times(
            threads=threads,
            batch=batch,
            runs=len(calls),
            isa=place.isa,
            nodes=nodes,
            call_us=median(calls) / 1e3,
            peak_us=median(peaks) / 1e3,
            clocks_ghz=tuple(float(ghz) for ghz in fields["ghz"]),
        )


@contextmanager
def _reading(phone: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RemoteError(f"{phone}: {PROGRAM} answers in an unknown format") from error


def _node(layer: Mapping[str, Any]) -> NodeTime:
    return NodeTime(
        node=str(layer["name"]),
        op=str(layer["op"]),
        us=middle_mean([int(ns) for ns in layer["ns"]]) / 1e3,
        inputs=tuple(tuple(map(int, shape)) for shape in layer["inputs"]),
        outputs=tuple(tuple(map(int, shape)) for shape in layer["outputs"]),
        tensor_bytes=int(layer["tensor_bytes"]),
        constant_bytes=int(layer["constant_bytes"]),
    )


def _place(fields: Mapping[str, Any]) -> Place:
    cores = tuple(map(int, fields["cores"]))
    system = f"sys/devices/system/cpu/cpu{cores[0] if cores else -1}"
    most = fields["before"].get(f"{system}/cpufreq/cpuinfo_max_freq")
    return Place(
        isa=str(fields["isa"]),
        version=str(fields["version"]),
        usable=int(fields["usable"]),
        cores=cores,
        core_name=_core_name(fields["before"].get(f"{system}/regs/identification/midr_el1")),
        core_max_mhz=int(most) / 1000 if most else None,
        before=_state(cores, fields["before"]),
        after=_state(cores, fields["after"]),
    )


def _core_name(register: str | None) -> str | None:
    """Of a core by its main ID register."""
    if not register:
        return None
    value = int(register, 16)
    return ARM_CORES.get(f"0x{value >> 4 & 0xFFF:03x}") if value >> 24 & 0xFF == _ARM else None


def _state(cores: Sequence[int], contents: Mapping[str, str]) -> CpuState:
    """From the contents of files of /sys and /proc, by path."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in contents.items():
            path = PurePosixPath(name)
            if path.parts[0] not in ("sys", "proc") or ".." in path.parts:
                raise ValueError(f"unexpected path {name!r}")
            Path(root, path).parent.mkdir(parents=True, exist_ok=True)
            Path(root, path).write_text(text, encoding="utf-8")
        return state_of(cores, Path(root))
