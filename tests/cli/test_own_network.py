"""The verbs on somebody's own network: a file with a torch module, and its weights."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import sbn_runtime
from sbn_deploy.cli import main
from sbn_deploy.networks import loading
from sbn_deploy.nn.models import network
from sbn_runtime import Session

NET = """
import torch
from torch import nn
from torch.nn import functional as F

class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient

class Conv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(Sign.apply(x), Sign.apply(self.weight), None, self.stride)

class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, bias=False).cuda()
        self.norm0 = nn.BatchNorm2d(32)
        self.conv1 = Conv(32, 32, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(32)
        self.conv2 = Conv(32, 32, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        x = self.norm0(self.stem(x))
        x = self.norm1(self.conv1(x))
        x = self.norm2(self.conv2(x))
        return self.head(x.mean((2, 3)))

class Two(Net):
    def forward(self, image, numbers):
        return super().forward(image.cuda()) + numbers.to("cuda")

class Float(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(torch.relu(x))

class SignsOnly(Float):
    def forward(self, x):
        return torch.where(super().forward(x) >= 0, 1.0, -1.0)

def build():
    return Net(classes=3)

def needy(depth):
    return Net()

def raises():
    raise ValueError("no weights here")

def number():
    return 7

class Fails(Net):
    def forward(self, x):
        raise KeyError("stem9")
"""
STOCHASTIC = """
from torch import nn
from sbn_deploy.nn import BinaryConv2d, BinaryLinear, StochasticSign

class Net(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.conv = BinaryConv2d(1, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.sign = StochasticSign()
        self.head = BinaryLinear(width * 36, 10)

    def forward(self, x):
        return self.head(self.sign(self.norm(self.conv(x))).flatten(1)) / 32
"""


@dataclass(frozen=True)
class Outcome:
    """What a verb left behind."""

    status: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The message of bad usage or input, which is one line behind what is being done."""
        assert self.status == 2, self
        assert self.out == ""
        assert "Traceback" not in self.err
        line = self.err.splitlines()[-1]
        assert line.startswith("sbn: error: "), self
        return line.removeprefix("sbn: error: ")


Sbn = Callable[..., Outcome]


@pytest.fixture
def sbn(capsys: pytest.CaptureFixture[str]) -> Sbn:
    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse leaves by itself
            status = int(stopped.code or 0)
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with networks and the weights of one; what they register is forgotten."""
    monkeypatch.setattr(network, "_REGISTRY", copy.copy(network._REGISTRY))
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET, encoding="utf-8")
    Path("stochastic.py").write_text(STOCHASTIC, encoding="utf-8")
    module = loading.load("net.py:Net", seed=5).module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, value in module.state_dict().items():
            if "norm" in name and value.is_floating_point():
                torch.nn.init.uniform_(value, 0.5, 1.5)
    wrapped = {f"module.{name}": value for name, value in module.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, "net.pt")
    return tmp_path


SHAPE = ("--input", "1x3x10x10")
EXPORT = ("export", "net.py:build", "--checkpoint", "net.pt", *SHAPE, "-o", "net.onnx")


def images(count: int, channels: int = 3, size: int = 10) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shape = (count, size, size, channels)
    return np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)


def test_export_with_everything_that_follows(sbn: Sbn) -> None:
    Path("classes.txt").write_text("cat\ndog\n\nbird\n", encoding="utf-8")
    outcome = sbn(
        *EXPORT,
        *("--classes", "classes.txt", "--task", "classification", "--preprocess"),
        *("mean=104/255,117/255,.5", "std=1/2", "range=255", "order=bgr", "size=10x10"),
    )
    assert outcome.status == 0, outcome
    lines = outcome.err.splitlines()
    assert lines[0] == "exporting net.py:build"
    assert "2 of 2 layers that could be binary are packed, with 100.0% of the binary" in outcome.err
    assert any(line.startswith("stem stays float: ") for line in lines)
    session = Session("net.onnx")
    said = session.metadata
    assert (said["arch"], said["classes"], said["task"]) == (
        "net.py:build",
        ["cat", "dog", "bird"],
        "classification",
    )
    # The file answers pixels as torch does.
    pixels = images(4)
    mean = torch.tensor([104 / 255, 117 / 255, 0.5])
    x = (torch.from_numpy(pixels[..., ::-1] / 255).float() - mean) / 0.5
    module = loading.load("net.py:Net", Path("net.pt")).module
    with torch.no_grad():
        expected = module(x.permute(0, 3, 1, 2)).softmax(1).numpy()
    found = session.predict_proba(session.preprocess(pixels))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(expected) > 0.01

    np.save("images.npy", pixels)
    predicted = sbn("predict", "net.onnx", "images.npy", "--json")
    assert [entry["top"][0]["class"] for entry in json.loads(predicted.out)] == [
        ["cat", "dog", "bird"][label] for label in expected.argmax(1)
    ]


def test_the_report_and_stock_onnxruntime(sbn: Sbn) -> None:
    outcome = sbn(*EXPORT, "--json", "--require-packed")
    assert outcome.status == 0, outcome
    report = json.loads(outcome.out)
    assert (report["packed_layers"], report["binary_layers"], report["packed_share"]) == (2, 2, 1)
    assert set(report["float_layers"]) == {"stem", "head"}
    x = np.random.default_rng(0).normal(size=(3, 3, 10, 10)).astype(np.float32)
    (stock,) = onnxruntime.InferenceSession("net.onnx").run(["logits"], {"input": x})
    np.testing.assert_allclose(Session("net.onnx").run(x)["logits"], stock, atol=1e-5)


def test_tflite(sbn: Sbn) -> None:
    assert sbn(*EXPORT[:-1], "net.tflite").status == 0
    assert Path("net.tflite").read_bytes()[4:8] == b"TFL3"


def test_several_inputs(sbn: Sbn) -> None:
    outcome = sbn("export", "net.py:Two", "--input", "2x3x10x10,2x3", "-o", "two.onnx")
    assert outcome.status == 0, outcome
    assert "no --checkpoint: using the weights that net.py:Two gives" in outcome.err
    assert [info.shape[1:] for info in Session("two.onnx").inputs] == [(3, 10, 10), (3,)]


def test_untrained(sbn: Sbn) -> None:
    arguments = ("export", "net.py:build", "--untrained", *SHAPE, "--seed", "4", "-o", "a.onnx")
    outcome = sbn(*arguments)
    assert outcome.status == 0, outcome
    assert "no --checkpoint" not in outcome.err
    assert Session("a.onnx").metadata["untrained"] is True
    x = np.random.default_rng(0).normal(size=(2, 3, 10, 10)).astype(np.float32)
    with torch.no_grad():
        expected = loading.load("net.py:build", seed=4).module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(Session("a.onnx").run(x)["logits"], expected, atol=1e-4)


def test_a_first_layer_on_pixels_says_how_they_are_normalised(sbn: Sbn) -> None:
    Path("pixels.py").write_text(
        "from torch import nn\nfrom sbn_deploy.nn import BinaryConv2d, InputConv2d, Sign\n"
        "def build():\n    return nn.Sequential(InputConv2d(3, 16, 3), nn.BatchNorm2d(16), Sign(),"
        " BinaryConv2d(16, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    outcome = sbn("export", "pixels.py:build", "--input", "1x3x8x8", "-o", "pixels.onnx")
    assert outcome.status == 0, outcome
    session = Session("pixels.onnx")
    assert session.metadata["preprocess"]["mean"] == [0.5] * 3
    assert session.metadata["preprocess"]["std"] == [0.5] * 3
    assert session.run(np.zeros((1, 8, 8, 3), np.uint8))["logits"].shape == (1, 8)


def test_architectures_with_a_state_dict(sbn: Sbn) -> None:
    built = loading.load("digits-cnn", seed=7)
    torch.save(built.module.state_dict(), "digits.pt")
    outcome = sbn("export", "digits-cnn", "--checkpoint", "digits.pt", "-o", "digits.onnx")
    assert outcome.status == 0, outcome
    assert Session("digits.onnx").inputs[0].shape[1:] == (1, 8, 8)


def test_sampled_members_and_noise(sbn: Sbn) -> None:
    own = ("stochastic.py:Net", "--input", "1x1x8x8")
    outcome = sbn("export", *own, "--weights", "sample", "--members", "3", "-o", "three.onnx")
    assert outcome.status == 0, outcome
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    members = Session("three.onnx").run(x)["member_logits"]
    assert members.shape == (3, 2, 10)
    assert len(np.unique(members, axis=0)) == 3
    outcome = sbn("export", *own, "--activations", "stochastic", "--samples", "2", "-o", "n.onnx")
    assert outcome.status == 0, outcome
    assert Session("n.onnx").stochastic
    message = sbn("export", "net.py:Net", *SHAPE, "--weights", "sample", "-o", "x.onnx").refusal
    assert "net.py:Net has no stochastic weights to sample" in message
    message = sbn(
        *("export", "net.py:Net", *SHAPE, "--activations", "stochastic", "-o", "x.onnx")
    ).refusal
    assert "no noise" in message
    assert not Path("x.onnx").exists()


@pytest.mark.parametrize(
    ("name", "said", "strict"),
    [
        ("Float", "nothing in this network is binary", 1),
        ("SignsOnly", "warning: this network has signs, but none of its layers is packed", 1),
    ],
)
def test_nothing_is_packed(sbn: Sbn, name: str, said: str, strict: int) -> None:
    arguments = ("export", f"net.py:{name}", "--input", "1x4", "-o", "float.onnx")
    outcome = sbn(*arguments)
    assert outcome.status == 0, outcome
    assert said in outcome.err
    assert sbn(*arguments, "--require-packed").status == strict


def test_a_checkpoint_of_training(sbn: Sbn) -> None:
    """Train, then export: the checkpoint finds its network, or is told it."""
    outcome = sbn(
        *("train", "--arch", "stochastic.py:Net", "--out", "run", "--epochs", "1"),
        *("--set", "model.width=16", "--set", "batch_size=512", "--json"),
    )
    assert outcome.status == 0, outcome
    assert json.loads(outcome.out)["arch"] == "stochastic.py:Net"
    outcome = sbn("export", "run/checkpoint.safetensors", "-o", "found.onnx")
    assert outcome.status == 0, outcome
    own = ("stochastic.py:Net", "--checkpoint", "run/checkpoint.safetensors")
    outcome = sbn("export", *own, "-o", "told.onnx")
    assert outcome.status == 0, outcome
    found, told = Session("found.onnx"), Session("told.onnx")
    for key in ("preprocess", "classes", "arch", "config", "checkpoint_sha256"):
        assert found.metadata[key] == told.metadata[key]
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    assert (found.run(x)["logits"] == told.run(x)["logits"]).all()

    Path("stochastic.py").unlink()
    message = sbn("export", "run/checkpoint.safetensors", "-o", "x.onnx").refusal
    assert "sbn export FILE.py:NAME --checkpoint run/checkpoint.safetensors" in message


def evil(path: str) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch ran",)

    torch.save({"state_dict": {"x": torch.zeros(1)}, "more": Runs()}, path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.py:Net", *SHAPE), "no.py: no such file"),
        (("net.py:Nett", *SHAPE), "net.py has no Nett; did you mean Net?; it defines Conv"),
        (("net.py:needy", *SHAPE), "net.py:needy needs arguments (depth)"),
        (("net.py:raises", *SHAPE), "raised ValueError: no weights here (net.py, line 59)"),
        (("net.py:number", *SHAPE), "net.py:number returns an int"),
        (("broken.py:Net", *SHAPE), "broken.py raised SyntaxError"),
        (("net.py:Fails", *SHAPE), "raised KeyError: 'stem9' (net.py, line 66)"),
        (("net.py:Net", "--input", "1x1x10x10"), "net.py:Net, given [1, 1, 10, 10], raised"),
        (("net.py:Net", "--input", "1x3x2x2"), "net.py:Net, given [1, 3, 2, 2], raised"),
        (("net.py:Net",), "what net.py:Net takes is not known; give the shape"),
        (("net.py:Net", "--input", "3by10"), "argument --input: '3by10' is not a shape"),
        (("net.py:Net", *SHAPE, "--checkpoint", "no.pt"), "cannot read no.pt"),
        (("net.py:Float", "--input", "1x4", "--checkpoint", "net.pt"), "net.pt does not match"),
        (("net.py:Net", *SHAPE, "--checkpoint", "evil.pt"), "evil.pt holds posix.system"),
        (("net.py:Net", *SHAPE, "--checkpoint", "plain.pt"), "not a state dict"),
        (("net.py:Net", *SHAPE, "--task", "guess"), "argument --task: invalid choice: 'guess'"),
        (("net.py:Net", *SHAPE, "--task", "segmentation"), "[N, K, H, W]"),
        (
            ("net.py:Net", *SHAPE, "--classes", "cat,dog"),
            "2 class names were given, but the output of net.py:Net",
        ),
        (("net.py:Net", *SHAPE, "--classes", "a,b,a"), "give each class once"),
        (("net.py:Net", *SHAPE, "--classes", "no.txt"), "--classes no.txt: No such file"),
        (("net.py:Net", *SHAPE, "--classes", "net.pt"), "--classes net.pt: not UTF-8 text"),
        (("net.py:Net", *SHAPE, "--checkpoint", "net.pt", "--untrained"), "leave out --untrained"),
        (("net.py:Net", *SHAPE, "--preprocess", "mean=1,2"), "mean=1,2 has 2 values for 3"),
        (("net.py:Net", *SHAPE, "--preprocess", "std=0"), "std above 0"),
        (("net.py:Net", *SHAPE, "--preprocess", "std=1/0"), "'1/0' is not a number"),
        (("net.py:Net", *SHAPE, "--preprocess", "means=1"), "has no 'means=1'"),
        (("net.py:Net", *SHAPE, "--preprocess", "order=gbr"), "order rgb or bgr"),
        (("net.py:Net", *SHAPE, "--preprocess", "size=8x8"), "contradicts the input"),
        (("net.py:Float", "--input", "1x4", "--preprocess", "std=1"), "an input of images"),
        (("net.pt",), "sbn export FILE.py:NAME --checkpoint net.pt"),
        (("digits-cnn", "--untrained", *SHAPE), "--input is for FILE.py:NAME"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(
    sbn: Sbn, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    Path("broken.py").write_text("def Net(:\n", encoding="utf-8")
    Path("plain.pt").write_bytes(pickle.dumps({"x": 1}))
    evil("evil.pt")
    before = set(folder.iterdir())
    assert message in sbn("export", *arguments, "-o", "bad.onnx").refusal
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(("name", "frame"), [("raises", "in raises"), ("Fails", "in forward")])
def test_verbose_shows_the_traceback(sbn: Sbn, name: str, frame: str) -> None:
    outcome = sbn("export", f"net.py:{name}", *SHAPE, "-o", "x.onnx", "--verbose")
    assert outcome.status == 2
    assert "Traceback (most recent call last)" in outcome.err
    assert frame in outcome.err
    assert outcome.err.splitlines()[-1].startswith("sbn: error: net.py:")


@pytest.mark.long
def test_validate_members_on_images(sbn: Sbn) -> None:
    own = ("stochastic.py:Net", "--input", "1x1x8x8")
    pixels = ("--preprocess", "mean=0.5", "std=0.5", "range=16")
    members = ("--weights", "sample", "--members", "2")
    outcome = sbn("export", *own, *pixels, *members, "-o", "two.onnx")
    assert outcome.status == 0, outcome
    outcome = sbn(
        *("validate", "two.onnx", "--against", "stochastic.py:Net", "--data", "digits"),
        *("--inputs", "5", "--json"),
    )
    assert outcome.status == 0, outcome
    report = json.loads(outcome.out)
    assert (report["ok"], report["inputs"]) == (True, "5 test images of digits")
    assert all(result["compared_bits"] > 0 for result in report["results"])


@pytest.mark.long
def test_validate_with_another_network(sbn: Sbn) -> None:
    assert sbn(*EXPORT).status == 0
    against = ("validate", "net.onnx", "--against", "net.py:build")
    # `--samples` is the old name of `--inputs`.
    outcome = sbn(*against, "--checkpoint", "net.pt", "--samples", "3")
    assert outcome.status == 0, outcome
    assert "warning: --samples is now called --inputs" in outcome.err
    assert "every engine agrees" in outcome.err
    outcome = sbn(*against, "--inputs", "3")  # other weights
    assert outcome.status == 1, outcome
    assert "the engines disagree" in outcome.err
    message = sbn(*against, "--data", "digits").refusal
    assert "does not record how images are normalised; export it with --preprocess" in message
    message = sbn("validate", "net.onnx", "--against", "stochastic.py:Net").refusal
    assert "stochastic.py:Net, given [1, 3, 10, 10], raised" in message
    message = sbn("validate", "net.onnx", "--against", "net.pt", "--data", "digits").refusal
    assert "--data is for FILE.py:NAME" in message


def test_benchmark(sbn: Sbn) -> None:
    outcome = sbn(
        *("benchmark", "net.py:build", *SHAPE, "--compare", "fp32,torch", "--json"),
        *("--runs", "2", "--warmup", "1", "--max-seconds", "1"),
    )
    assert outcome.status == 0, outcome
    record = json.loads(outcome.out)
    assert [result["engine"] for result in record["results"]] == [
        "sbn",
        "onnxruntime-fp32",
        "torch",
    ]
    assert [model["arch"] for model in record["models"]] == ["net.py:build"]
    message = sbn("benchmark", "net.py:build", *SHAPE, "--compare", "int8").refusal
    assert "compare it with the same module as floats" in message


@pytest.mark.long
def test_benchmark_of_an_architecture(sbn: Sbn) -> None:
    outcome = sbn(
        *("benchmark", "digits-cnn", "--compare", "fp32", "--json"),
        *("--runs", "2", "--warmup", "1", "--max-seconds", "1"),
    )
    assert outcome.status == 0, outcome
    engines = [result["engine"] for result in json.loads(outcome.out)["results"]]
    assert engines == ["sbn", "onnxruntime-fp32"]
    assert "unknown network 'digits-cn'" in sbn("benchmark", "digits-cn").refusal


def test_benchmark_does_not_run_what_a_file_names(sbn: Sbn) -> None:
    assert sbn(*EXPORT).status == 0
    for rival in ("fp32", "torch"):
        message = sbn("benchmark", "net.onnx", "--compare", rival).refusal
        assert "name it in place of the file" in message
    assert "go with FILE.py:NAME" in sbn("benchmark", "net.onnx", *SHAPE).refusal


@pytest.mark.long
def test_sweep(sbn: Sbn) -> None:
    module = loading.load("stochastic.py:Net").module
    torch.save(module.state_dict(), "weights.pt")
    Path("sweep.toml").write_text(
        'checkpoint = "weights.pt"\nnetwork = "stochastic.py:Net"\nimages = 20\n'
        'weights = ["threshold"]\nactivations = ["deterministic"]\nruns = 2\n'
        'preprocess = ["mean=0.5", "std=0.5", "range=16"]\n',
        encoding="utf-8",
    )
    outcome = sbn("sweep", "sweep.toml", "--out", "swept", "--json")
    assert outcome.status == 0, outcome
    assert [one["model"] for one in json.loads(outcome.out)["candidates"]] == ["threshold"]
    said = sbn_runtime.Session("swept/models/threshold.onnx").metadata
    assert said["arch"] == "stochastic.py:Net"
    assert said["preprocess"]["pixel_max"] == 16


@pytest.mark.long
def test_latency_of_two_inputs(sbn: Sbn) -> None:
    Path("two.py").write_text(
        "from torch import nn\n"
        "class Two(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.linear = nn.Linear(64, 7, bias=False)\n"
        "    def forward(self, image, vector):\n"
        "        signs = image.flatten(1).sign()\n"
        "        return nn.functional.linear(signs, self.linear.weight.sign()) + vector\n",
        encoding="utf-8",
    )
    shapes = ("--input", "1x1x8x8,1x7")
    assert sbn("export", "two.py:Two", "--untrained", *shapes, "-o", "two.onnx").status == 0
    assert sbn("profile", "two.onnx", "--runs", "2").status == 0
    quick = ("--runs", "2", "--max-seconds", "2", "--batch", "3", "--json")
    outcome = sbn("benchmark", "two.onnx", *quick)
    assert outcome.status == 0, outcome
    assert json.loads(outcome.out)["results"][0]["batch"] == 3
