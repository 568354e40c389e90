"""References to networks: what they find, and what they say when they find nothing."""

from __future__ import annotations

import copy
import importlib.metadata
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from sbn_deploy.networks import build
from sbn_deploy.nn import models
from sbn_deploy.nn.models import network
from sbn_runtime.errors import ConfigError

NET = """
import sys
from dataclasses import dataclass
from torch import nn
import torch

LIMIT = 3

@dataclass
class Options:
    width: int = 4

class Net(nn.Module):
    def __init__(self, options=None, classes=2):
        super().__init__()
        self.options = options or Options()
        self.linear = nn.Linear(self.options.width, classes)

    def forward(self, x):
        return self.linear(x)

    @classmethod
    def wide(cls):
        return cls(Options(8))

class Needy(nn.Module):
    def __init__(self, depth, width, *, bias=True):
        super().__init__()

class Holder:
    net = Net

def build():
    print("building")
    return Net()

def seven():
    return 7

def nothing():
    pass

def raises():
    return _inner()

def _inner():
    raise ValueError("no such thing\\nand more")

def leaves():
    sys.exit(3)

finished = Net(Options(5))

if __name__ == "__main__":
    raise RuntimeError("this runs a training")
"""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    monkeypatch.setattr(network, "_REGISTRY", copy.copy(network._REGISTRY))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET, encoding="utf-8")
    return path


def width(module: nn.Module) -> int:
    linear = module.get_submodule("linear")
    assert isinstance(linear, nn.Linear)
    return linear.in_features


@pytest.mark.parametrize(
    ("name", "expected"), [("Net", 4), ("build", 4), ("Net.wide", 8), ("Holder.net", 4)]
)
def test_callables_of_a_file(file: Path, name: str, expected: int) -> None:
    built = build(f"{file}:{name}")
    assert width(built.module) == expected
    assert not built.module.training
    assert len(built.sha256) == 64


def test_a_finished_module(file: Path) -> None:
    assert width(build(f"{file}:finished").module) == 5
    with pytest.raises(ConfigError, match="takes no settings"):
        build(f"{file}:finished", {"width": 3})


def test_what_binarize_returns_is_taken_by_its_model(tmp_path: Path) -> None:
    path = tmp_path / "binarized.py"
    path.write_text(
        "from torch import nn\n"
        "from sbn_deploy.nn import binarize\n"
        "def build():\n"
        "    convs = [nn.Conv2d(3, 3, 3) for _ in range(3)]\n"
        "    return binarize(nn.Sequential(*convs))\n"
    )
    assert isinstance(build(f"{path}:build").module, nn.Module)


def test_settings_are_passed_and_offers_only_where_wanted(file: Path) -> None:
    built = build(f"{file}:Net", offered={"classes": 7, "size": 8})
    assert built.config == {"classes": 7}
    assert built.module.get_submodule("linear").out_features == 7
    assert build(f"{file}:Net", {"classes": 3}, offered={"classes": 7}).config == {"classes": 3}


def test_a_colon_in_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "run:3"
    folder.mkdir()
    (folder / "net.py").write_text(NET, encoding="utf-8")
    assert width(build(f"{folder / 'net.py'}:Net").module) == 4


def test_classes_of_the_file_can_be_copied_and_pickled(file: Path) -> None:
    module = build(f"{file}:Net").module
    copied = pickle.loads(pickle.dumps(copy.deepcopy(module)))
    assert type(copied) is type(module)
    assert copied.options == module.options


def test_a_changed_file_is_read_again(file: Path) -> None:
    build(f"{file}:Net")
    # Of the same size and, most likely, within the same second.
    file.write_text(NET.replace("width: int = 4", "width: int = 6"), encoding="utf-8")
    assert width(build(f"{file}:Net").module) == 6
    assert not (file.parent / "__pycache__").exists()


def test_nothing_is_left_on_the_path_and_nothing_printed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, argv = list(sys.path), list(sys.argv)
    build(f"{file}:build")
    assert (sys.path, sys.argv) == (path, argv)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "building\n")


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_imports_from_beside_the_file_also_when_it_is_built(tmp_path: Path) -> None:
    late = "def build():\n    from late import width\n    return Layer(width)\n"
    for name, number in (("a", 3), ("b", 5)):
        write(
            tmp_path / name,
            {
                "layers.py": f"from torch import nn\nclass Layer(nn.Module):\n    tag = {name!r}\n"
                "    def __init__(self, width):\n        super().__init__()\n"
                "        self.linear = nn.Linear(width, 2)\n",
                "late.py": f"width = {number}\n",
                "net.py": "from layers import Layer\n" + late,
            },
        )
    first = build(f"{tmp_path / 'a/net.py'}:build").module
    second = build(f"{tmp_path / 'b/net.py'}:build").module
    assert (type(first).tag, width(first)) == ("a", 3)  # type: ignore[attr-defined]
    assert (type(second).tag, width(second)) == ("b", 5)  # type: ignore[attr-defined]


def test_relative_imports_in_a_package(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "top/__init__.py": "",
            "top/sizes.py": "WIDTH = 9\n",
            "top/nets/__init__.py": "from .small import build\n",
            "top/nets/small.py": "from torch import nn\nfrom ..sizes import WIDTH\n"
            "from . import parts\nclass Net(nn.Module):\n    def __init__(self):\n"
            "        super().__init__()\n        self.linear = nn.Linear(WIDTH, parts.CLASSES)\n"
            "def build():\n    return Net()\n",
            "top/nets/parts.py": "CLASSES = 2\n",
        },
    )
    assert width(build(f"{tmp_path / 'top/nets/small.py'}:build").module) == 9


def test_the_folder_that_commands_run_in_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        {
            "shared_sizes.py": "WIDTH = 9\n",
            "nets/net.py": "from torch import nn\nfrom shared_sizes import WIDTH\n"
            "linear = nn.Sequential()\nlinear.linear = nn.Linear(WIDTH, 1)\n",
        },
    )
    monkeypatch.chdir(tmp_path)
    assert width(build("nets/net.py:linear").module) == 9
    assert width(build("nets.net:linear").module) == 9


def test_registered_architectures() -> None:
    built = build("digits-cnn", {"width": 4})
    assert built.config["width"] == 4
    assert (built.kind, built.sha256) == ("sbn", "")
    assert build("digits-cnn", {"width": 4}, twin=True).kind == "fp32"


def test_networks_of_the_users_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "own.py": "from sbn_deploy.nn.models import Network\n"
            "class Own(Network, arch='own-of-tests'):\n"
            "    def __init__(self, layers, *, channels=1, size=8, classes=10, width=4):\n"
            "        super().__init__()\n"
            "        self.linear = layers.linear(channels * size * size, classes)\n"
            "    def forward(self, x):\n        return self.linear(x.flatten(1))\n"
        },
    )
    reference = f"{tmp_path / 'own.py'}:Own"
    built = build(reference, {"width": 2}, offered={"classes": 3})
    assert isinstance(built.module, models.Network)
    assert (built.reference, built.config["classes"], built.config["width"]) == (reference, 3, 2)
    assert build(reference, twin=True).kind == "fp32"
    with pytest.raises(ConfigError, match="has no setting depth"):
        build(reference, {"depth": 2})


def test_entry_points(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(f"{file}:Net").module
    entry = importlib.metadata.EntryPoint("tiny", f"{type(module).__module__}:Net", "")
    broken = importlib.metadata.EntryPoint("broken", "no_such_module_here:Net", "")

    def offered(group: str) -> importlib.metadata.EntryPoints:
        assert group == "sbn_deploy.networks"
        return importlib.metadata.EntryPoints((entry, broken))

    monkeypatch.setattr(importlib.metadata, "entry_points", offered)
    assert width(build("tiny").module) == 4
    with pytest.raises(ConfigError, match=r"entry point broken raised ModuleNotFoundError"):
        build("broken")
    with pytest.raises(ConfigError, match=r"unknown network 'tinny'; did you mean tiny\?; .*tiny"):
        build("tinny")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nett", r"net\.py has no Nett; did you mean Net\?; it defines Net, Needy, build, .*"),
        ("Holder.other", r"has no Holder\.other"),
        ("LIMIT", r"net\.py has LIMIT, an int; it defines"),
        ("", r"needs the name of a network after it, as in .*net\.py:NAME.*; it defines Net"),
        ("Needy", r"needs arguments \(depth, width\); write a function without"),
        ("seven", r"returns an int; it must return a torch\.nn\.Module"),
        ("nothing", r"returns nothing; it must"),
        ("raises", r"net\.py:raises raised ValueError: no such thing \(net\.py, line 47\)$"),
        ("leaves", r"raised a call of sys\.exit: put script code"),
    ],
)
def test_what_is_wrong_is_said(file: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(f"{file}:{name}")
    assert len(str(caught.value).splitlines()) == 1


def test_the_traceback_is_kept(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(f"{file}:raises")
    assert caught.value.__cause__ is not None
    shown = "".join(traceback.format_exception(caught.value.__cause__))
    assert "in _inner" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(:\n", r"raised SyntaxError: .* \(net\.py, line 1\)"),
        ("import torch\nimport no_such_thing\n", r"No module named .* \(net\.py, line 2\)"),
        ("import helper\n", r"raised ZeroDivisionError: .* \(helper\.py, line 2\)"),
        ("\0", r"raised (SyntaxError|ValueError)"),
        (
            "import argparse\nq = argparse.ArgumentParser()\nq.add_argument('--x', required=True)\n"
            "q.parse_args()\n",
            "raised a call of sys.exit",
        ),
    ],
)
def test_files_that_cannot_be_imported(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, {"net.py": text, "helper.py": "x = 1\nx / 0\n"})
    modules = set(sys.modules)
    with pytest.raises(ConfigError, match=message):
        build(f"{tmp_path / 'net.py'}:build")
    assert not [name for name in set(sys.modules) - modules if name.startswith("sbn_")]


def test_a_file_without_candidates(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has no build; it defines no class or function"):
        build(f"{tmp_path / 'net.py'}:build")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no/such/net.py:Net", r"no/such/net\.py: no such file"),
        ("no_such_package.net:Net", r"importing no_such_package\.net raised ModuleNotFoundError"),
        ("digits-cn", r"unknown network 'digits-cn'; did you mean digits-cnn\?"),
    ],
)
def test_nothing_there(reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(reference)


@pytest.fixture
def no_cuda() -> Iterator[None]:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    return


@pytest.mark.usefixtures("no_cuda")
def test_code_written_for_a_gpu(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "net.py": "import torch\nfrom torch import nn\nat_import = torch.zeros(2).cuda()\n"
            "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.a = nn.Linear(2, 2, device='cuda').cuda()\n"
            "        self.b = nn.DataParallel(nn.Linear(2, 2)).to('cuda:0')\n"
            "        self.k = torch.tensor([10]).float().cuda()\n"
            "        self.z = torch.ones(2, device=torch.device('cuda')) + at_import\n"
            "        self.to(device='cuda', dtype=torch.float32)\n"
            "finished = Net()\n"
        },
    )
    for name in ("Net", "finished"):
        module = build(f"{tmp_path / 'net.py'}:{name}").module
        assert {tensor.device.type for tensor in module.state_dict().values()} == {"cpu"}
        assert module.z.tolist() == [1, 1]


def test_telling_references_from_files_needs_no_large_package() -> None:
    """`sbn benchmark FILE` does so on a device, where neither torch nor pydantic is installed."""
    code = (
        "import sys; from sbn_deploy.networks import names_code; assert names_code('a.py:B');"
        "print(sorted({'torch', 'pydantic', 'safetensors', 'onnx'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
