"""Checkpoints of `sbn train` whose network is in the user's own file."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sbn_deploy.networks import loading
from sbn_deploy.nn import storage
from sbn_deploy.nn.models import network
from sbn_deploy.train import checkpoint
from sbn_deploy.train.loop import TrainConfig, train
from sbn_runtime.errors import ArtifactError, ConfigError

PLAIN = """
from torch import nn
from sbn_deploy.nn import BinaryConv2d, BinaryLinear, StochasticSign

class Net(nn.Module):
    def __init__(self, classes=10, width=4):
        super().__init__()
        self.config = "a name of its own"
        self.conv = BinaryConv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.sign = StochasticSign()
        self.head = BinaryLinear(64 * width, classes)

    def forward(self, x):
        return self.head(self.sign(self.norm(self.conv(x))).flatten(1)) / 16

def wide():
    return Net(width=6)

def twelve():
    return Net(classes=12)

def colour():
    return nn.Conv2d(3, 2, 3)

def pair():
    return Pair()

class Pair(Net):
    def forward(self, x):
        return x, x
"""
SUBCLASS = """
from sbn_deploy.nn.models import Network

class Own(Network, arch="own"):
    def __init__(self, layers, *, channels=1, size=8, classes=10, width=4):
        super().__init__()
        self.linear = layers.linear(channels * size * size, classes)

    def forward(self, x):
        return self.linear(x.flatten(1)) / 8
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the files; what they register is forgotten."""
    monkeypatch.setattr(network, "_REGISTRY", copy.copy(network._REGISTRY))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/plain.py").write_text(PLAIN, encoding="utf-8")
    (tmp_path / "own.py").write_text(SUBCLASS, encoding="utf-8")
    return tmp_path


def trained(reference: str, **settings: Any) -> Path:
    config = TrainConfig(
        out=Path("run"), arch=reference, epochs=1, batch_size=512, members=1, **settings
    )
    return train(config, overwrite=True).checkpoint_path


def header(path: Path) -> dict[str, Any]:
    return storage.read(path, format=checkpoint.FORMAT, version=checkpoint.VERSION)[1]


def with_header(path: Path, **changes: Any) -> Path:
    with safe_open(path, framework="pt") as file:
        said = json.loads(file.metadata()["sbn"]) | changes
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, "changed.safetensors", {"sbn": json.dumps(said)})
    return Path("changed.safetensors")


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    ("reference", "settings", "config"),
    [
        ("nets/plain.py:Net", {"model": {"width": 3}}, {"classes": 10, "width": 3}),
        ("nets/plain.py:wide", {}, {}),
        ("./own.py:Own", {}, {"channels": 1, "size": 8, "classes": 10, "width": 4}),
        ("own.py:Own", {"twin": True}, {"channels": 1, "size": 8, "classes": 10, "width": 4}),
    ],
)
def test_the_network_is_found_again(
    reference: str, settings: dict[str, Any], config: dict[str, Any]
) -> None:
    path = trained(reference, **settings)
    said = header(path)
    assert said["arch"] == reference.removeprefix("./")
    assert config.items() <= said["config"].items()
    module, _ = checkpoint.load(path)
    again = loading.load(reference, path)
    assert same(module, again.module)
    assert type(module).__name__ == type(again.module).__name__
    assert not same(module, loading.load(reference, seed=3).module)


def test_a_network_that_an_installed_package_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(loading.load("nets/plain.py:Net").module).__module__
    entry = importlib.metadata.EntryPoint("offered", f"{module}:Net", "")

    def offered(group: str) -> importlib.metadata.EntryPoints:
        return importlib.metadata.EntryPoints((entry,))

    monkeypatch.setattr(importlib.metadata, "entry_points", offered)
    path = trained("offered", model={"width": 3})
    assert header(path)["arch"] == "offered"
    assert same(checkpoint.load(path)[0], loading.load("offered", path).module)


def test_a_file_below_this_folder_is_relative_to_it(folder: Path) -> None:
    assert header(trained(f"{folder}/own.py:Own"))["arch"] == "own.py:Own"


def test_where_the_network_is_not_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trained("own.py:Own").resolve()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    with pytest.raises(ArtifactError, match=r"trained from own\.py:Own, which .* --checkpoint"):
        checkpoint.load(path)
    assert loading.load("../own.py:Own", path).config["width"] == 4


def test_a_file_that_changed_is_named_by_its_user() -> None:
    path = trained("own.py:Own")
    Path("own.py").write_text(SUBCLASS + "# a remark\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"own\.py has changed since .* sbn export FILE\.py"):
        checkpoint.load(path)
    loading.load("own.py:Own", path)


def digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "arch", ["os:system", f"{os.__file__}:system", "nets/plain.py:os.system", "nets/os.py:system"]
)
def test_a_checkpoint_cannot_make_us_run_what_it_names(arch: str) -> None:
    path = trained("nets/plain.py:Net")
    Path("nets/plain.py").write_text("import os\n" + PLAIN, encoding="utf-8")
    Path("nets/os.py").write_text("from os import system\n", encoding="utf-8")
    file = Path(arch.rpartition(":")[0])
    evil = with_header(
        path,
        arch=arch,
        config={"command": "touch ran"},
        source_sha256=digest(file) if file.is_file() else "",
    )
    with pytest.raises((ArtifactError, ConfigError)):
        checkpoint.load(evil)
    assert not Path("ran").exists()


@pytest.mark.parametrize("place", [".venv", "env/site-packages"])
def test_installed_packages_are_not_the_users_own(place: str) -> None:
    path = trained("nets/plain.py:Net")
    file = Path(place) / "evil.py"
    file.parent.mkdir(parents=True)
    file.write_text("import os\ndef run(command):\n    os.system(command)\n", encoding="utf-8")
    evil = with_header(
        path, arch=f"{file}:run", config={"command": "touch ran"}, source_sha256=digest(file)
    )
    with pytest.raises(ArtifactError, match="which is not below the current folder"):
        checkpoint.load(evil)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "own.py:Own", "config": {"depth": 3}}, "has no setting depth"),
        ({"kind": "fp16"}, "broken header"),
    ],
)
def test_headers_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    path = trained("own.py:Own")
    changed = with_header(path, **change)
    with pytest.raises((ArtifactError, ConfigError), match=message):
        checkpoint.load(changed)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "nets/plain.py:twelve",
            r"gives \[2, 12\] for inputs \[2, 1, 8, 8\]; .* needs logits \[2, 10\]",
        ),
        ("nets/plain.py:colour", r"colour, given \[2, 1, 8, 8\], raised RuntimeError"),
        ("nets/plain.py:pair", r"gives \[2, 1, 8, 8\] for inputs"),
        ("nets/plain.py:Nett", r"did you mean Net\?"),
    ],
)
def test_networks_that_cannot_be_trained(reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(reference)
    assert not Path("run").exists()


def test_networks_without_a_parameter_besides_latents() -> None:
    """Adam takes no empty list."""
    Path("bare.py").write_text(
        "from torch import nn\nfrom sbn_deploy.nn import BinaryLinear\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), BinaryLinear(64, 10))\n"
        "def nothing():\n    return nn.Sequential(nn.Flatten(), nn.AvgPool1d(6, 6))\n",
        encoding="utf-8",
    )
    trained("bare.py:build")
    shutil.rmtree("run")
    with pytest.raises(ConfigError, match="nothing has no parameters to train"):
        trained("bare.py:nothing")
