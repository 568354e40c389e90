"""The page of whole networks, from measurements as `sbn benchmark` and `profile` write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..report import builder
from . import lce_models, networks

ENGINES = ("sbn", "onnxruntime-int8", "torch", "lce")


def test_the_page(tmp_path: Path) -> None:
    model = builder.model("cifar-vgg")
    cases = [builder.Case(model, 1.0 + i, engine) for i, engine in enumerate(ENGINES)]
    sizes = [builder.Case(model, 1.0, threads=n, batch=b) for n in (1, 2) for b in (1, 32)]
    fp32 = [builder.Case(model, 4.0), builder.Case(model, 8.0, "onnxruntime-fp32")]
    few = builder.benchmark(sizes)
    few = replace(few, results=tuple(replace(timing, p99_ms=None) for timing in few.results))
    written = {
        "cifar-vgg.baselines": builder.benchmark(cases, unstable=["it was hot"]),
        "cifar-vgg.avx2": builder.benchmark(fp32, machine=builder.SERVER | {"isa": "avx2"}),
        "cifar-vgg.sizes": few,
        "cifar-vgg.layers": builder.profile(model, [("a", "binary", 9), ("b", "binary", 1)]),
        "QuickNet.imported": builder.benchmark([cases[0], cases[3]]),
    }
    page = networks.markdown(builder.write_all(tmp_path, written))
    lines = page.splitlines()
    row = next(line for line in lines if line.startswith("| cifar-vgg | avx512 |"))
    assert row.split("|")[3].strip().startswith(("3.9× (", "4.0× ("))
    assert "| cifar-vgg | 2.0× |" in lines
    assert any(line.startswith("| QuickNet | 1.0") for line in lines)
    row = next(line for line in lines if line.startswith("| sbn | 2 | 32 |"))
    assert row.split("|")[6].strip() == "–"
    assert any(line.startswith("| `sbn.Conv` | 2 |") for line in lines)
    assert "- cifar-vgg.baselines: it was hot" in lines
    assert sum(" sbn benchmark " in line for line in lines if line.startswith("SBN_ISA=")) == 4


def test_lce_has_every_network() -> None:
    assert tuple(lce_models.NETWORKS) == networks.NETWORKS
