"""Whole networks against baselines on this machine: docs/benchmarks.md and docs/benchmarks/.

    python -m tests.tools.networks

All is measured by `sbn benchmark` and `sbn profile` as anyone would run them; their files are in
docs/benchmarks/, and `sbn report docs/benchmarks` makes a page of them. The networks are
untrained: latency does not depend on the weights.

A file of LCE's own converter, NAME.tflite of `lce_models` in the folder of --files, is measured
too, and files of `lce_zoo` there are imported and measured.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from sbn_deploy.lce.interpreter import is_installed
from sbn_deploy.records.benchmark import Benchmark, Timing
from sbn_deploy.records.files import load
from sbn_deploy.records.profile import Profile
from sbn_runtime import available_isas
from sbn_runtime.files import write_atomically
from sbn_runtime.native import ISA_VARIABLE

from .lce_zoo import NETWORKS as ZOO

NETWORKS = ("cifar-vgg", "birealnet18", "quicknet-small", "quicknet", "quicknet-large")
LARGE_BATCH = 32
ENGINES = ("lce", "onnxruntime-int8", "onnxruntime-fp32", "torch")
TITLES = {"onnxruntime-int8": "int8", "onnxruntime-fp32": "fp32", "lce": "LCE"}
METHOD = """\
Whole networks, one image, one thread, one core, by `sbn benchmark`: engines take turns in
processes of their own, one at a time, and are started again in each session. Intervals are 95 %
prediction intervals: where the figure of the next measurement falls. Our times include everything
that `Session.run` does in Python; the others' are of the bare call.

The networks are untrained: latency does not depend on the weights. onnxruntime gets the same
architecture with real weights, rectifiers in place of signs and batch-norms folded into
convolutions; torch the binary network; LCE the same binary network with every sign packed, our
file translated to TFLite, in the faster of its modes (indirect kernels, with or without XNNPACK).

The commands at the end made the files of `docs/benchmarks/`, which hold all figures (`sbn report
docs/benchmarks` makes a page of them); `python -m tests.tools.networks` runs such commands for all
networks and writes this page.
"""


LIMITS = """\
Percentages of a peak, in `make bench` and `sbn profile`, are of what our instructions for a product
reach in registers, not of all that a CPU could do:

- with AVX-512 and VPOPCNTDQ, of xor, popcount and add: 341 binary multiply-accumulates a cycle on
  Zen 4, whose units are 256 bits wide, and 670 on Zen 5, where they are 512;
- with AVX2, or AVX-512 without it, of look-ups of four bits for two pixels at once: 288 and 384 on
  Intel's ports.

Where counting is that fast, what surrounds it takes the larger share: the convolution of 64
channels at 56×56 with scale, bias, residual and signs reaches 78 % of the limit on Zen 4 and 66 %
of twice that limit on Zen 5 (`make bench`). Its floats, 800 kB in and as many out, leave the first
cache. In a trial on Zen 4, tensors that had left the second cache cost 5 % more, which is all that
running layers over bands of rows could save there.

Two ways beyond these limits are not used:

- Look-ups of six bits (VBMI): a prototype, which is not in the project, reached 430 a cycle in
  registers on Zen 4, a quarter more than popcount, but 517 on Zen 5, a quarter less. Their tables
  of 256 kB would have to come from the second cache for layers of few channels.
- AMX multiplies unpacked signs as 8-bit numbers, 1,024 a cycle, at eight times the memory. None of
  the CPUs that this was written on has it, so that it was not tried.

Layers of 8 bits use VNNI, and AVX-VNNI on CPUs without AVX-512, in the kernel set `avx2`: 1.9 times
the speed of AVX2 without it (`make bench`, `pixel_conv_…_avxvnni` and `…_avx2`).

A second thread makes layers of few pixels 1.85 to 1.95 times as fast and those of 64 channels at
56×56 1.55 times, whose floats the other core may have in its cache; onnxruntime's products of
floats 1.6 times, and what takes a few microseconds alone nothing (`sbn profile quicknet.onnx
--threads 2`).
"""


def sbn(*words: object, isa: str | None = None) -> None:
    """Runs a verb and shows it."""
    arguments = list(map(str, words))
    print(
        f"$ {f'{ISA_VARIABLE}={isa} ' if isa else ''}{shlex.join(['sbn', *arguments])}", flush=True
    )
    subprocess.run(
        [sys.executable, "-m", "sbn_deploy.cli", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | ({ISA_VARIABLE: isa} if isa else {}),
    )


def measure(name: str, files: Path, records: Path, more: Sequence[str]) -> None:
    """Measures one network: baselines, kernel sets, threads and batches, layers."""
    model, theirs = files / f"{name}.onnx", files / f"{name}.tflite"
    if not model.is_file():
        sbn("export", name, "--untrained", "-o", model)
    fastest, *others = reversed(available_isas())
    compare = "fp32,int8,torch" + (",lce" if is_installed() else "")
    models = [model] + ([theirs] if theirs.is_file() and is_installed() else [])
    output = ("-o", records / f"{name}.baselines.json")
    sbn("benchmark", *models, "--compare", compare, *more, *output)
    for isa in others:
        output = ("-o", records / f"{name}.{isa}.json")
        sbn("benchmark", model, "--compare", "fp32", *more, *output, isa=isa)
    threads = "1,2" if len(os.sched_getaffinity(0)) > 1 else "1"
    sizes = ("--threads", threads, "--batch", f"1,{LARGE_BATCH}")
    sbn("benchmark", model, *sizes, *more, "-o", records / f"{name}.sizes.json", isa=fastest)
    sbn("profile", model, "-o", records / f"{name}.layers.json")


def measure_imported(name: str, files: Path, records: Path, more: Sequence[str]) -> None:
    """Imports a file of LCE's converter, and measures both."""
    source, model = files / f"{name}.tflite", files / f"{name}.imported.onnx"
    sbn("import", source, "-o", model)
    sbn("benchmark", model, source, *more, "-o", records / f"{name}.imported.json")


def markdown(records: Path) -> str:
    """The page of all measurements in a folder."""
    found = {path.name.removesuffix(".json"): load(path) for path in sorted(records.glob("*.json"))}
    benchmarks = {name: record for name, record in found.items() if isinstance(record, Benchmark)}
    profiles = {name: record for name, record in found.items() if isinstance(record, Profile)}
    names = [name for name in NETWORKS if f"{name}.baselines" in benchmarks]
    machine = benchmarks[f"{names[0]}.baselines"].machine
    parts = ["# Benchmarks", METHOD, "## Machine"]
    parts.append(
        f"{machine.cpu}, {machine.cores} cores, {', '.join(machine.extensions)}; {machine.system},"
        f" Python {machine.python}, onnxruntime {machine.onnxruntime}, sbn-deploy"
        f" {machine.sbn_deploy}."
    )
    parts += ["## Times faster than", _ratios(names, benchmarks)]
    parts += ["## Kernel sets", _kernel_sets(names, benchmarks)]
    parts += ["## What bounds them", LIMITS]
    imported = [name for name in ZOO if f"{name}.imported" in benchmarks]
    if imported:
        parts += ["## Imported from LCE's files", _imported(imported, benchmarks)]
    for name in names:
        compared, sizes = benchmarks[f"{name}.baselines"], benchmarks[f"{name}.sizes"]
        parts += [f"## {name}", _timings(compared.results), f"`{compared.command}`"]
        parts += ["With more threads and larger batches:", _timings(sizes.results)]
        parts += ["Where our time goes:", _operators(profiles[f"{name}.layers"])]
    commands = [
        f"{ISA_VARIABLE}={record.machine.isa} {record.command}" for record in found.values()
    ]
    why = "<!-- not run: takes minutes; tests/tools/test_networks.py makes the page -->"
    parts += ["## Commands", f"{why}\n```sh\n" + "\n".join(commands) + "\n```"]
    unsteady = {f"{name}: {why}" for name, r in benchmarks.items() for why in r.unstable}
    if unsteady:
        parts += [
            "## The machine was not steady",
            "\n".join(f"- {why}" for why in sorted(unsteady)),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _ratios(names: Iterable[str], benchmarks: dict[str, Benchmark]) -> str:
    rows = []
    for name in names:
        record = benchmarks[f"{name}.baselines"]
        found = {
            ratio.engine: f"{ratio.ratio:.1f}×"
            f" ({_interval(ratio.prediction_low, ratio.prediction_high, 1)})"
            for ratio in record.ratios
            if ratio.model == record.models[0].name
        }
        rows.append([name, record.machine.isa, *(found.get(engine, "–") for engine in ENGINES)])
    return table(["network", "kernels", *(TITLES.get(e, e) for e in ENGINES)], rows, text=2)


def _kernel_sets(names: Iterable[str], benchmarks: dict[str, Benchmark]) -> str:
    """Times faster than fp32, each measured in the same run."""
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for name, (key, record) in product(names, benchmarks.items()):
        for ratio in record.ratios:
            whole = key.startswith(f"{name}.") and ratio.model == record.models[0].name
            if whole and ratio.engine == "onnxruntime-fp32":
                columns[record.machine.isa][name] = f"{ratio.ratio:.1f}×"
    rows = [[name, *(column.get(name, "–") for column in columns.values())] for name in names]
    return "Times faster than fp32:\n\n" + table(["network", *columns], rows)


def _imported(names: Iterable[str], benchmarks: dict[str, Benchmark]) -> str:
    rows = []
    for name in names:
        record = benchmarks[f"{name}.imported"]
        ours, theirs = record.results
        rows.append(
            [
                name,
                f"{ours.p50_ms:.2f}",
                f"{theirs.p50_ms:.2f}",
                f"{record.ratios[0].ratio:.1f}×",
                *(f"{(timing.file_bytes or 0) / 1000:,.0f}" for timing in (theirs, ours)),
            ]
        )
    header = ["network of larq_zoo", "sbn ms", "LCE ms", "faster", "TFLite kB", "ONNX kB"]
    return table(header, rows)


def _timings(timings: Iterable[Timing]) -> str:
    rows = [
        [
            timing.engine + (f", {timing.mode}" if timing.mode else ""),
            str(timing.threads),
            str(timing.batch),
            f"{timing.p50_ms:.3f}",
            _interval(timing.prediction_low_ms, timing.prediction_high_ms, 3),
            "–" if timing.p99_ms is None else f"{timing.p99_ms:.3f}",
            f"{timing.images_per_s:,.0f}",
            "–" if timing.file_bytes is None else f"{timing.file_bytes / 1000:,.0f}",
        ]
        for timing in timings
    ]
    header = ["engine", "threads", "batch", "p50 ms", "95 % prediction interval"]
    return table([*header, "p99 ms", "images/s", "file kB"], rows)


def _interval(low: float | None, high: float | None, digits: int) -> str:
    return "–" if low is None else f"{low:.{digits}f} to {high:.{digits}f}"


def _operators(profile: Profile) -> str:
    count: dict[str, int] = defaultdict(int)
    total: dict[str, float] = defaultdict(float)
    for layer in profile.layers:
        count[layer.op] += 1
        total[layer.op] += layer.us
    whole = sum(total.values())
    rows = [
        [f"`{op}`", str(count[op]), f"{us:,.0f}", f"{us / whole:.0%}"]
        for op, us in sorted(total.items(), key=lambda item: -item[1])
        if us / whole > 0.005
    ]
    return table(["operator", "nodes", "µs", "share"], rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """A Markdown table whose first `text` columns are aligned to the left."""
    rule = ["---"] * text + ["---:"] * (len(header) - text)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def main() -> None:
    """Measures, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--max-seconds", help="for each command (default: as sbn benchmark)")
    parser.add_argument(
        "--files", type=Path, default=Path("runs/networks"), help="folder for the models"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    more = ["--max-seconds", options.max_seconds] if options.max_seconds else []
    records = options.output.with_suffix("")
    for folder in (options.files, records):
        folder.mkdir(parents=True, exist_ok=True)
    for name in options.networks:
        measure(name, options.files, records, more)
    for name in ZOO if is_installed() else ():
        if (options.files / f"{name}.tflite").is_file():
            measure_imported(name, options.files, records, more)
    write_atomically(options.output, markdown(records).encode())
    print(options.output)


if __name__ == "__main__":
    main()
