"""State dicts from files: what training scripts wrap around them, and what does not fit."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sbn_deploy.networks import load_into, read_state
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint
from sbn_runtime.errors import ArtifactError


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Module()
        net.features = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
        net.head = nn.Linear(2, 3)
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                nn.init.normal_(tensor)
    return net


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


Wrap = Callable[[dict[str, Tensor]], Any]

WRAPPINGS: dict[str, Wrap] = {
    "plain": lambda s: s,
    "ordered": collections.OrderedDict,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"m": s["head.bias"]}},
    "model": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1)},
    "model_state_dict": lambda s: {"model_state_dict": s, "best": np.float64(91.2)},
    "net": lambda s: {"net": s, "acc": np.float32(0.5), "log": Path("a/b")},
    "params in a state": lambda s: {"state": {"params": s}, "optim_state": {"x": s["head.bias"]}},
    "ema beside it": lambda s: {
        "ema": {k: torch.zeros_like(v) for k, v in s.items()},
        "state_dict": s,
    },
    "a name of their own": lambda s: {"student": s, "optimizer": {"x": s["head.bias"]}},
    "DataParallel": lambda s: {"state_dict": prefixed(s, "module.")},
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled in DataParallel": lambda s: prefixed(s, "module._orig_mod."),
    "Lightning": lambda s: {"state_dict": prefixed(s, "model."), "callbacks": {}},
    "net.": lambda s: prefixed(s, "net."),
    "features in DataParallel": lambda s: {
        k.replace("features.", "features.module."): v for k, v in s.items()
    },
    "without counts": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    "a loose tensor": lambda s: {"step": torch.tensor(3), "state_dict": s},
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_wrappings_are_undone(tmp_path: Path, name: str) -> None:
    source, target = network(0), network(1)
    torch.save(WRAPPINGS[name](source.state_dict()), tmp_path / "x.pth.tar")
    load_into(target, tmp_path / "x.pth.tar")
    assert same(source, target)


def test_a_wrapped_network_takes_plain_names(tmp_path: Path) -> None:
    source, target = network(0), network(1)
    torch.save(source.state_dict(), tmp_path / "x.pt")
    load_into(nn.DataParallel(target), tmp_path / "x.pt")
    assert same(source, target)


def test_names_are_not_merged(tmp_path: Path) -> None:
    """Where two names would become one, they stay as they are."""
    net = nn.ModuleDict({"a": nn.Linear(1, 1), "net": nn.ModuleDict({"a": nn.Linear(1, 1)})})
    torch.save(prefixed(net.state_dict(), "x."), tmp_path / "x.pt")
    with pytest.raises(ArtifactError, match=r"misses a\.weight"):
        load_into(net, tmp_path / "x.pt")
    torch.save(net.state_dict(), tmp_path / "x.pt")
    load_into(net, tmp_path / "x.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    source, target = network(0), network(1)
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in source.state_dict().items()}
    save_file(state, tmp_path / "x.safetensors")
    load_into(target, tmp_path / "x.safetensors")
    for name, tensor in target.state_dict().items():
        assert tensor.dtype == source.state_dict()[name].dtype
        assert torch.equal(tensor, state[name].to(tensor.dtype))


def test_our_own_checkpoints(tmp_path: Path) -> None:
    source, target = (models.create("digits-cnn", width=4) for _ in range(2))
    images = np.zeros((2, 8, 8, 1), np.uint8)
    checkpoint.save(tmp_path / "x.safetensors", source, {}, images)
    load_into(target, tmp_path / "x.safetensors")
    checkpoint.round_latents(source)
    assert same(source, target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.bias"), r"it misses head\.bias$"),
        (lambda s: s.update(more=torch.zeros(1)), r"it has besides more$"),
        (
            lambda s: s.update({"head.weight": torch.zeros(5, 2)}),
            r"it has other shapes for head\.weight \(\[5, 2\] instead of \[3, 2\]\)$",
        ),
        (
            lambda s: [s.pop(key) for key in list(s)[:5]],
            r"it misses features\.0\.weight, features\.1\.weight, features\.1\.bias …"
            r" \(5 in all\)",
        ),
        (
            lambda s: (s.pop("head.bias"), s.update(bias=torch.zeros(3))),
            r"it misses head\.bias and has besides bias$",
        ),
    ],
)
def test_a_checkpoint_of_another_network(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = network(1).state_dict()
    change(state)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(ArtifactError, match=message):
        load_into(net, tmp_path / "x.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


class _Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (torch.save, r"holds posix\.system, which can only .*save torch\.save"),
        (
            lambda content, path: path.write_bytes(pickle.dumps(content)),
            "not a state dict written by",
        ),
        (
            lambda content, path: path.write_bytes(pickle.dumps(content, 2)),
            r"holds torch\.storage\._load_from_bytes, which can only",
        ),
    ],
)
def test_nothing_is_unpickled(
    tmp_path: Path, write: Callable[[Any, Path], object], message: str
) -> None:
    trace = tmp_path / "ran"
    content = {"state_dict": network().state_dict(), "evil": _Runs(f"touch {trace}")}
    write(content, tmp_path / "x.pt")
    with pytest.raises(ArtifactError, match=message):
        load_into(network(), tmp_path / "x.pt")
    assert not trace.exists()


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "x.pt")
    with pytest.raises(ArtifactError, match=r"holds torch\.nn\.modules\.linear\.Linear, which"):
        read_state(tmp_path / "x.pt")


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "bytes.pt").write_bytes(b"not a checkpoint")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save(network().state_dict(), tmp_path / "cut.pt")
    whole = (tmp_path / "cut.pt").read_bytes()
    cuts = [f"cut{count}.pt" for count in range(1, len(whole), len(whole) // 20)]
    for count, name in zip(range(1, len(whole), len(whole) // 20), cuts, strict=True):
        (tmp_path / name).write_bytes(whole[:count])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that TorchScript is old
        torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "script.pt")
    (tmp_path / "bytes.safetensors").write_bytes(b"not a checkpoint")
    for name in ("bytes.pt", "empty.pth", *cuts, "script.pt", "bytes.safetensors"):
        with pytest.raises(ArtifactError, match=f"{name} is damaged"):
            read_state(tmp_path / name)
    for name in ("missing.pt", "missing.safetensors"):
        with pytest.raises(ArtifactError, match="cannot read"):
            read_state(tmp_path / name)
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("none.pt", "list.pt"):
        with pytest.raises(ArtifactError, match="contains no named tensors"):
            read_state(tmp_path / name)


def test_layers_without_shapes(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "x.pt")
    with pytest.raises(ArtifactError, match="weight has no shape yet"):
        load_into(nn.LazyLinear(1), tmp_path / "x.pt")
