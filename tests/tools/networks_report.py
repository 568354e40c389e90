"""Writes what `tests.tools.networks` measured, as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_deploy.profile.node_times import by_operator
from sbn_runtime.files import write_atomically

if TYPE_CHECKING:
    from sbn_deploy.benchmark.timing import Timing
    from tests.tools.imported import ImportedResult
    from tests.tools.networks import NetworkResult

RIVALS = {
    "LCE": "LCE",
    "int8": "onnxruntime int8",
    "fp32": "onnxruntime fp32",
    "torch": "torch",
}
METHOD = """\
Whole networks, batch 1, one thread, one core. The engines take turns in blocks
of ten calls, so that a change of the machine's speed meets all of them; ratios
are of medians within one run. `±` is half the interquartile range: where it is
large, the machine was busy with other things. Our times include everything that
`Session.run` does in Python; the others' are of the bare call.

The networks are untrained: latency does not depend on the weights. onnxruntime
and torch get the same architecture with real weights, rectifiers in place of
signs and batch-norms folded into convolutions; LCE gets the same binary network
with every sign packed, through its own converter or as our file translated to
TFLite; each network's section says which. It runs its indirect kernels, with or
without XNNPACK, whichever is faster here.
"""

IMPORTED = """\
Networks of larq_zoo at 224x224 with random weights, written by LCE's converter
(`python -m tests.tools.lce_zoo NAME -o FILE`), in LCE and after
`sbn import` in our fastest kernels. Their first layers take floats. On 12 random
images the logits were compared with those of LCE without XNNPACK: `difference` is
the median of the largest ones, as a share of the largest logit; `agree` the
images within 10⁻⁵ of it, ours and of LCE with XNNPACK. In the others the sign of
a float, zero but for rounding, fell the other way.
"""


def write(
    path: Path,
    results: Sequence[NetworkResult],
    imported: Sequence[ImportedResult],
    machine: Mapping[str, Any],
    command: str,
) -> tuple[Path, Path]:
    """Writes the report to `path` and the same as JSON beside it; returns both paths."""
    record = {
        "command": command,
        "machine": dict(machine),
        "networks": [
            asdict(result)
            | {
                "nodes": [{"node": n.node, "op": n.op, "us": n.us} for n in result.nodes],
                "ratios": ratios(result),
            }
            for result in results
        ],
        "imported": [asdict(result) | {"ratio": result.ratio} for result in imported],
    }
    data = path.with_suffix(".json")
    write_atomically(data, (json.dumps(record, indent=2) + "\n").encode())
    write_atomically(path, markdown(results, imported, machine, command, data.name).encode())
    return path, data


def ratios(result: NetworkResult) -> dict[str, dict[str, float]]:
    """How many times longer each rival takes than we do, for each of our ISAs.

    Keys are our engines' names, then those of `RIVALS`; the best of a rival's
    modes counts.
    """
    best = {
        rival: min(times)
        for rival, prefix in RIVALS.items()
        if (times := [t.p50_ms for t in result.timings if t.engine.startswith(prefix)])
    }
    return {
        timing.engine: {rival: time / timing.p50_ms for rival, time in best.items()}
        for timing in result.timings
        if timing.engine.startswith("sbn ")
    }


def markdown(
    results: Sequence[NetworkResult],
    imported: Sequence[ImportedResult],
    machine: Mapping[str, Any],
    command: str,
    data: str,
) -> str:
    """The report as text."""
    parts = [
        "# Benchmarks",
        METHOD,
        f"Made by `{command}`; all figures are in [{data}]({data}).",
        "## Machine",
        "\n".join(f"- {name}: {_plain(value)}" for name, value in machine.items() if value),
        "## Times faster than",
        _ratios(results),
    ]
    if imported:
        parts += ["## Imported from LCE's files", IMPORTED, _imported(imported)]
    for result in results:
        parts += [f"## {result.network}", _timings(result)]
        if result.lce_file:
            parts.append(f"LCE ran a file made by {result.lce_file}.")
        parts.append(f"`sbn export` to TFLite: {result.translation_ms:.0f} ms from the ONNX model.")
        parts += [_scaling(result), _profile(result)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _ratios(results: Sequence[NetworkResult]) -> str:
    rows = [
        [result.network, engine.removeprefix("sbn "), *_present(times)]
        for result in results
        for engine, times in ratios(result).items()
    ]
    return _table(["network", "our kernels", *RIVALS], rows, text=2)


def _imported(results: Sequence[ImportedResult]) -> str:
    rows = [
        [
            result.network,
            *(f"{timing.p50_ms:.2f}" for timing in result.timings),
            f"{result.ratio:.1f}×",
            f"{result.agreement.median:.0e}",
            f"{result.agreement.images}",
            f"{result.own_agreement.images}",
            f"{result.file_bytes / 1000:,.0f}",
            f"{result.imported_bytes / 1000:,.0f}",
        ]
        for result in results
    ]
    header = ["network", "sbn ms", "LCE ms", "with XNNPACK", "faster"]
    header += ["difference", "agree", "LCE's agree", "TFLite kB", "ONNX kB"]
    return _table(header, rows)


def _present(times: Mapping[str, float]) -> list[str]:
    return [f"{times[rival]:.1f}×" if rival in times else "–" for rival in RIVALS]


def _timings(result: NetworkResult) -> str:
    rows = [
        [timing.engine, *_times(timing), _size(result.file_bytes, timing.engine)]
        for timing in result.timings
    ]
    return _table(["engine", "p50 ms", "±", "min ms", "p90 ms", "file kB"], rows)


def _scaling(result: NetworkResult) -> str:
    rows = [
        [str(timing.threads), str(timing.batch), *_times(timing), f"{timing.images_per_s:,.0f}"]
        for timing in result.scaling
    ]
    header = ["threads", "batch", "p50 ms", "±", "min ms", "p90 ms", "images/s"]
    return "Our fastest kernels, with more threads and larger batches:\n\n" + _table(
        header, rows, text=0
    )


def _profile(result: NetworkResult) -> str:
    total = sum(node.us for node in result.nodes)
    rows = [
        [f"`{op}`", str(count), f"{us:,.0f}", f"{us / total:.0%}"]
        for op, count, us in by_operator(result.nodes)
        if us / total > 0.005
    ]
    return "Where our time goes:\n\n" + _table(["operator", "nodes", "µs", "share"], rows)


def _times(timing: Timing) -> list[str]:
    return [
        f"{timing.p50_ms:.3f}",
        f"{timing.spread:.0%}",
        f"{timing.min_ms:.3f}",
        f"{timing.p90_ms:.3f}",
    ]


def _size(sizes: Mapping[str, int], engine: str) -> str:
    """The size of the file that an engine runs; several engines may run one file."""
    for name, size in sizes.items():
        if engine.startswith(name):
            return f"{size / 1000:,.0f}"
    return "–"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """A Markdown table whose first `text` columns are aligned to the left."""
    rule = ["---"] * text + ["---:"] * (len(header) - text)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
