"""All engines, by the names that options and records have for them.

Those that run exported files by themselves are of `sbn_runtime.engines`; here are the others too,
which models are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

from sbn_runtime.engines import NATIVE as NATIVE
from sbn_runtime.engines import ONNXRUNTIME as ONNXRUNTIME
from sbn_runtime.engines import SBN as SBN

LCE, TORCH = "lce", "torch"
FP32, INT8 = "onnxruntime-fp32", "onnxruntime-int8"


@dataclass(frozen=True)
class Row:
    """An engine in the table.

    Attributes:
        name: in records.
        shown: what people read.
        same_network: whether it computes the very network of the file, whose accuracy is then its
            own too. The others run a network of the same architecture with real weights.
        compare: what `sbn benchmark --compare` calls it; "" where it cannot.
        one_image: whether a call is limited to that.
        devices: whether it runs on a device of `--remote`.
    """

    name: str
    shown: str
    same_network: bool = True
    compare: str = ""
    one_image: bool = False
    devices: bool = True


ENGINES = {
    row.name: row
    for row in (
        Row(SBN, SBN),
        Row(NATIVE, NATIVE, compare=NATIVE),
        Row(ONNXRUNTIME, ONNXRUNTIME),
        Row(FP32, "fp32 in onnxruntime", same_network=False, compare="fp32"),
        Row(INT8, "int8 in onnxruntime", same_network=False, compare="int8"),
        Row(LCE, "LCE", compare=LCE, one_image=True, devices=False),
        Row(TORCH, "fp32 in torch", same_network=False, compare=TORCH, devices=False),
    )
}
COMPARED = {row.compare: row for row in ENGINES.values() if row.compare}
"""By the names of `--compare`."""


def takes(name: str, batch: int) -> bool:
    """Whether an engine can run a call of so many images."""
    return batch == 1 or not ENGINES[name].one_image


def shown_as(name: str) -> str:
    """What people read for an engine of a record, which may be one that this version lacks."""
    return ENGINES[name].shown if name in ENGINES else name


def same_network(name: str) -> bool:
    """Whether an engine of a record computes the very network of the file."""
    return name in ENGINES and ENGINES[name].same_network
