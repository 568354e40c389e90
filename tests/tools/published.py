"""The networks of `tests.published` in their published sizes: exported, compared and timed.

    python -m tests.tools.published [NAME ...] [--no-times] [-o FILE]

Writes a table in Markdown. Each network has a process of its own, in which export time and
peak memory are measured. The latency of one input on one thread is compared with that of the
same module as a float ONNX file in onnxruntime, by `sbn benchmark`. The float file has what the
module computes in forward: the straight-through terms that some leave there cost time, which a
file of ours does not have.
"""

from __future__ import annotations

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import torch

from sbn_deploy.export.onnx_model import Built, build
from sbn_deploy.machine.describe import describe
from sbn_deploy.oracle import validate_members
from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.files import load
from sbn_runtime import available_isas
from sbn_runtime.errors import SbnError
from sbn_runtime.files import write_atomically
from tests.published.catalogue import NETWORKS

HEADER = """\
# Networks of published methods

Written for the tests from the papers' definitions, in their published sizes (`tests/published`),
with random weights and batch-norm statistics, and exported as anybody's network is. Made by
`make published` on {machine}.

- packed, of MACs: how many layers with weights of two values are packed, and their share of the
  multiply-accumulates of all of these.
- export CPU, peak memory: of the whole process that exports, its imports included.
- agrees: how many packed signs were compared with torch's on other inputs than those of the
  export, and none differs; tied: inputs of which a float fell so near zero, before a sign, that
  torch itself decides it by the order of its sums.
- ours, float: median latency of one input on one thread, of our file and of the same module as
  float ONNX in onnxruntime, by `sbn benchmark`.

| network | packed | of MACs | ours | float | ratio | file | export CPU | peak memory | agrees |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---|
"""


@dataclass(frozen=True)
class Row:
    """What became of one network. `layers` counts its binary layers; `ours` and `plain` are
    median milliseconds, 0 where they were not measured."""

    name: str
    failure: str = ""
    layers: int = 0
    packed: int = 0
    share: float = 0.0
    megabytes: float = 0.0
    seconds: float = 0.0
    gigabytes: float = 0.0
    agreement: str = ""
    ours: float = 0.0
    plain: float = 0.0
    floats: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def cells(self) -> str:
        """A row of the table."""
        if self.failure:
            return f"| {self.name} | {self.failure} |"
        times = "| |"
        if self.ours:
            ratio = self.plain / self.ours
            times = f"{self.ours:.2f} ms | {self.plain:.2f} ms | {ratio:.1f}"
        return (
            f"| {self.name} | {self.packed} of {self.layers} | {self.share:.1%} | {times}"
            f" | {self.megabytes:.2f} MB | {self.seconds:.0f} s | {self.gigabytes:.2f} GB"
            f" | {self.agreement} |"
        )


def try_network(name: str, timed: bool) -> Row:
    """Exports one network in full size, compares it with torch, times it."""
    torch.set_num_threads(1)
    size = NETWORKS[name].full
    module = size.build()
    started = process_time()
    try:
        built = build([module], size.example())
    except SbnError as error:
        return Row(name, failure=str(error))
    seconds = process_time() - started
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    data = built.proto.SerializeToString()
    candidates = [layer for layer in built.lowered.layers if layer.candidate]
    packed = [layer for layer in candidates if layer.kind != "float"]
    whole = sum(layer.macs for layer in candidates)
    ours, plain = _latency(built, data, size.example(1)) if timed else (0.0, 0.0)
    return Row(
        name,
        layers=len({layer.name for layer in candidates}),
        packed=len({layer.name for layer in packed}),
        share=sum(layer.macs for layer in packed) / whole if whole else 0.0,
        megabytes=len(data) / 1e6,
        seconds=seconds,
        gigabytes=gigabytes,
        agreement=_agreement(built, module, size.example(2, seed=2)),
        ours=ours,
        plain=plain,
        floats={layer.name: layer.why for layer in candidates if layer.kind == "float"},
        notes=[*built.traced.recording.notes, *built.lowered.notes],
    )


def _agreement(built: Built, module: torch.nn.Module, x: torch.Tensor) -> str:
    (result,) = validate_members(
        built.proto, [module], x.numpy(), engine="sbn", traced=built.traced
    )
    if not result.ok:
        return f"no: {result.differing_bits} bits from {result.first_layer} on"
    ties = f", {result.tied_inputs} of {result.inputs} tied" if result.tied_inputs else ""
    return f"{result.compared_bits:,} bits{ties}"


def _latency(built: Built, data: bytes, example: torch.Tensor) -> tuple[float, float]:
    """Median milliseconds of the file and of the float one, by `sbn benchmark`."""
    with tempfile.TemporaryDirectory() as folder:
        ours, plain = Path(folder) / "ours.onnx", Path(folder) / "float.onnx"
        record = Path(folder) / "times.json"
        ours.write_bytes(data)
        _export_floats(built, example, plain)
        subprocess.run(
            [sys.executable, "-m", "sbn_deploy.cli", "benchmark", ours, plain, "-o", record],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        measured = load(record)
    assert isinstance(measured, Benchmark)
    first, second = measured.results
    return first.p50_ms, second.p50_ms


def _export_floats(built: Built, example: torch.Tensor, path: Path) -> None:
    """What the module computes, with no knowledge of signs, as ONNX.

    It is exported from the recording, since torch cannot export some of these modules.
    """
    graph = built.traced.recording.graph_module.eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(graph, (example,), dynamo=True, verbose=False)
    assert made is not None
    made.save(path)


def report(rows: list[Row]) -> str:
    """The table, and what is to be said about single layers."""
    machine = f"{describe().cpu} with {', '.join(available_isas())}"
    lines = [HEADER.format(machine=machine).rstrip(), *(row.cells() for row in rows), ""]
    lines += ["What was said of them:", ""]
    for row in rows:
        said = [f"- {layer} stays float: {why}" for layer, why in row.floats.items()]
        said += [f"- {note}" for note in row.notes]
        if said:
            lines += [f"{row.name}:", "", *said, ""]
    return "\n".join(lines)


def main() -> int:
    """Returns 1 if a network cannot be exported or does not agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    parser.add_argument("--no-times", action="store_true", help="export and compare only")
    parser.add_argument("-o", "--output", type=Path, help="default: print only")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NETWORKS))
    if unknown:
        parser.error(f"no network {unknown[0]}; there are {', '.join(NETWORKS)}")
    rows = []
    for name in args.names or NETWORKS:
        # A fresh process each, so that peak memory is that of one network.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows.append(process.submit(try_network, name, not args.no_times).result())
        print(rows[-1].cells(), file=sys.stderr, flush=True)
    text = report(rows)
    print(text)
    if args.output is not None:
        write_atomically(args.output, text.encode())
    return int(any(row.failure or row.agreement.startswith("no") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
