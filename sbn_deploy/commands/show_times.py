"""Times as tables on a terminal: what `sbn benchmark` and `sbn profile` show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .common import printable, say, show_table

if TYPE_CHECKING:
    from sbn_deploy.records.benchmark import Benchmark, Ratio, Timing
    from sbn_deploy.records.profile import Layer, Profile

BAR = 24
EIGHTHS = " ▏▎▍▌▋▊▉"


def show_benchmarks(records: Sequence[Benchmark]) -> None:
    """The figures of each engine on each device, accuracy, and what to think of them."""
    for record in records:
        _show_machine(record)
    columns = _columns(records)
    show_table(
        [name for name, _ in columns], list(zip(*(cells for _, cells in columns), strict=True))
    )
    for record in records:
        _show_remarks(record, f"{_device(record)}: " if len(records) > 1 else "")


def _device(record: Benchmark) -> str:
    return record.remote.host if record.remote else ""


def _show_machine(record: Benchmark) -> None:
    machine = record.machine
    where = f"{_device(record)}: " if record.remote else ""
    core = "" if machine.core is None else f", core {machine.core}"
    if machine.core_max_mhz:
        core += f" ({machine.core_max_mhz:.0f} MHz)"
    version = f", onnxruntime {machine.onnxruntime}" if machine.onnxruntime else ""
    say(f"{where}{machine.cpu}{core}, {machine.isa} kernels{version}")
    for sentence in machine.lacks:
        say(printable(sentence))


def _show_remarks(record: Benchmark, device: str) -> None:
    from sbn_deploy.records.benchmark import FEWEST_CALLS

    scores = record.accuracy
    if scores is not None:
        print(
            f"\n{device}accuracy {scores.accuracy:.2%} of {scores.samples:,} images of"
            f" {record.data} ({scores.confidence_low:.2%} to {scores.confidence_high:.2%})"
        )
    if record.remote and record.remote.differing_labels is not None:
        print(
            f"{device}labels that differ from those found here: {record.remote.differing_labels:,}"
        )
    for timing in record.results:
        if not timing.enough:
            calls = "call" if timing.runs == 1 else "calls"
            say(
                f"{device}{printable(timing.model)} in {timing.engine}: only {timing.runs} {calls},"
                f" the fastest in {timing.min_ms or timing.p50_ms:.4g} ms; figures need"
                f" {FEWEST_CALLS}; raise --max-seconds, or set --runs"
            )
    fewest = min(timing.runs for timing in record.results)
    if record.settings.runs is not None and fewest < record.settings.runs:
        say(
            f"{device}stopped after {fewest} of {record.settings.runs} runs; --max-seconds allows"
            " for more"
        )
    for reason in record.unstable:
        say(f"{device}unstable: {reason}")


def _columns(records: Sequence[Benchmark]) -> list[tuple[str, list[object]]]:
    """The table, column by column; those that say nothing are left out."""
    rows = [(record, timing) for record in records for timing in record.results]
    results = [timing for _, timing in rows]
    columns: list[tuple[str, list[object]]] = [
        ("engine", [timing.engine for timing in results]),
        ("threads", [timing.threads for timing in results]),
        ("batch", [timing.batch for timing in results]),
        ("p50 ms", [f"{timing.p50_ms:.4f}" if timing.enough else "-" for timing in results]),
        ("± next run", [_half_width(timing) for timing in results]),
        ("p90 ms", [_scaled(timing.p90_ms, 1, 4) for timing in results]),
        ("p99 ms", [_scaled(timing.p99_ms, 1, 4) for timing in results]),
        (
            "images/s",
            [f"{timing.images_per_s or 0:,.0f}" if timing.enough else "-" for timing in results],
        ),
        ("start ms", [_scaled(timing.start_ms, 1, 1) for timing in results]),
    ]
    if any(timing.peak_bytes is not None for timing in results):
        columns.append(("peak MB", [_scaled(timing.peak_bytes, 1e-6, 1) for timing in results]))
    if any(timing.joules_per_image is not None for timing in results):
        joules: list[object] = [_scaled(timing.joules_per_image, 1e3, 3) for timing in results]
        columns.append(("mJ/image", joules))
    ends = [record.after.temperature_c if record.after else None for record, _ in rows]
    if any(celsius is not None for celsius in ends):
        columns.append(("°C at end", [_scaled(celsius, 1, 0) for celsius in ends]))
    if any(len(record.models) > 1 for record in records):
        columns.insert(0, ("model", [timing.model for timing in results]))
    if len(records) > 1:
        columns.insert(0, ("device", [_device(record) for record, _ in rows]))
    if any(record.ratios for record in records):
        against = f"time against {results[0].engine}"
        columns.append((against, [_ratio(record.ratios, timing) for record, timing in rows]))
    return columns


def _half_width(timing: Timing) -> str:
    """Half the prediction interval of the median, as a share of it."""
    low, high = timing.prediction_low_ms, timing.prediction_high_ms
    if low is None or high is None or not timing.enough:
        return "-"
    return f"{(high - low) / 2 / timing.p50_ms:.1%}"


def _scaled(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _ratio(ratios: Sequence[Ratio], timing: Timing) -> str:
    """The ratio of a result with its interval; 1 for what the others are compared with."""
    if not timing.enough:
        return "-"
    names = ("model", "engine", "threads", "batch")
    for entry in ratios:
        if all(getattr(entry, name) == getattr(timing, name) for name in names):
            low, high = entry.prediction_low, entry.prediction_high
            interval = "" if low is None else f" ({low:.2f} to {high:.2f})"
            return f"{entry.ratio:.2f}×{interval}"
    return "1"


def show_profile(record: Profile) -> None:
    """Each layer, and the bottleneck."""
    longest = max(layer.share for layer in record.layers)
    show_table(
        (
            *("layer", "op", "input", "output", "MACs", "µs", "share", "", "MACs/cycle"),
            *("% of peak", "kB moved"),
        ),
        [
            (
                layer.name,
                layer.op,
                layer.input_shape,
                layer.output_shape,
                _macs(layer),
                f"{layer.us:.1f}",
                f"{layer.share:.1%}",
                _bar(layer.share / longest if longest else 0.0),
                None if layer.macs_per_cycle is None else f"{layer.macs_per_cycle:,.1f}",
                None if layer.percent_of_peak is None else f"{layer.percent_of_peak:.0f}",
                _scaled(layer.bytes, 1e-3, 1),
            )
            for layer in record.layers
        ],
    )
    peak, bottleneck = record.peak, record.bottleneck
    assert peak is not None
    assert bottleneck is not None
    print(
        f"\n{record.call_us:,.1f} µs per call in {record.engine} on {record.isa} kernels at"
        f" {peak.ghz:.2f} GHz, threads: {record.threads}; the peak is"
        f" {peak.binary_macs_per_cycle:,.0f} binary MACs per cycle"
    )
    print(f"bottleneck: {bottleneck.name}, {bottleneck.why}")
    if record.profiler_us:
        say(
            f"{record.profiler_us:.1f} µs of profiler overhead were subtracted from each layer;"
            " for layers this short, use a larger --batch"
        )


def _macs(layer: Layer) -> str | None:
    kinds = {"binary": layer.binary_macs, "8-bit": layer.int8_macs, "float": layer.float_macs}
    return next((f"{macs:,} {kind}" for kind, macs in kinds.items() if macs), None)


def _bar(share: float) -> str:
    """A bar of up to BAR characters, in steps of an eighth of one."""
    eighths = round(share * BAR * 8)
    rest = EIGHTHS[eighths % 8].strip()
    return "█" * (eighths // 8) + rest
