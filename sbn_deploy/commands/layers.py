"""How `sbn benchmark --remote adb:` shows what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .common import printable, say, show_table


def show_layers(record: Mapping[str, Any]) -> None:
    """Shows the times of a model's sbn operators, and what was not timed."""
    machine, (whole,) = record["machine"], record["results"]
    core = "" if machine["core"] is None else f", core {machine['core']}"
    if machine["core_max_mhz"]:
        core += f" ({machine['core_max_mhz']:.0f} MHz)"
    say(f"{record['remote']['host']}: {machine['cpu']}{core}, {machine['isa']} kernels")
    rows = [
        (
            printable(layer["name"]),
            printable(layer["op"]),
            layer["kind"],
            f"{layer['macs']:,}",
            f"{layer['p50_ms']:.4f}",
            f"{layer['p90_ms']:.4f}",
            f"{layer['min_ms']:.4f}",
        )
        for layer in record["layers"]
    ]
    total = (
        f"{sum(layer['macs'] for layer in record['layers']):,}",
        f"{whole['p50_ms']:.4f}",
        f"{whole['p90_ms']:.4f}",
        f"{whole['min_ms']:.4f}",
    )
    show_table(
        ("operator", "type", "kind", "MAC a sample", "p50 ms", "p90 ms", "min ms"),
        [*rows, ("all of them", f"batch {whole['batch']}", "", *total)],
    )
    print(
        f"\n{record['binary_macs']:,} binary MAC a sample; each operator gave the bits of the"
        " scalar kernels there, and of this machine"
    )
    print(f"not timed: {_not_timed(record['not_timed'])}")
    print(record["scope"])
    for reason in record["unstable"]:
        say(f"unstable: {reason}")


def _not_timed(operators: list[Mapping[str, Any]]) -> str:
    """The operators with multiply-accumulates by name, the others by type."""
    heavy = [
        f"{printable(each['name'])} ({printable(each['op'])}, {each['macs']:,} MAC)"
        for each in operators
        if each["macs"]
    ]
    light = dict.fromkeys(printable(each["op"]) for each in operators if not each["macs"])
    return ", ".join([*heavy, *light]) or "nothing"
