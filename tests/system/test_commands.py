"""Our packages, imported and used as on Windows and on macOS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .other import run

IMPORT = """
import importlib, json, pkgutil, sys
import sbn_converters, sbn_deploy, sbn_runtime
from sbn_deploy.system import host

# What is for other systems, is run instead of imported, or is no Python.
others = {f"sbn_deploy.system.{name}" for name in ("linux", "macos", "posix", "windows")}
others |= {f"sbn_runtime.system.{name}" for name in ("apple", "linux", "windows")}
done = []
for package in (sbn_runtime, sbn_converters, sbn_deploy):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        name = module.name.rpartition(".")[2]
        if module.name in others or name == "__main__" or name.startswith("libsbn"):
            continue
        importlib.import_module(module.name)
        done.append(module.name)
"""
USE = """
import contextlib, io, signal, time
from pathlib import Path
from threading import Thread
import numpy as np
from PIL import Image
from sbn_deploy import data
from sbn_deploy.cli import main

def sbn(*words, status=0):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        found = main(words)
    assert found == status, (words, found, said.getvalue())
    return said.getvalue()

def interrupt_after(path):
    while not path.exists():
        time.sleep(0.001)
    signal.raise_signal(signal.SIGINT)

digits = ("--data", "digits")
small = ("--set", "model.width=8", "--set", "members=2", "--epochs", "3")
train = ("train", *digits, *small, "--out", "runs/it is")
Thread(target=interrupt_after, args=(Path("runs/it is/last.safetensors"),)).start()
sbn(*train, status=130)
sbn(*train, "--resume")
sbn("export", "runs/it is/checkpoint.safetensors", "-o", "digits.onnx")
sbn("validate", "digits.onnx", "--against", "runs/it is/checkpoint.safetensors")
sbn("evaluate", "digits.onnx", *digits, "-o", "evaluation.json")
Image.fromarray(data.load("digits", "test").images[0].squeeze() * 15).save("an image.png")
for name in ("banana", "Apple", "Cherry"):
    for index in range(6):
        path = Path("photos", name, f"{'Ab'[index % 2]}{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 9 * index, np.uint8)).save(path)
fruit = data.load("folder:photos", "train")
image = "an im*.png" if host.__name__.endswith("windows") else "an image.png"
found = {"classes": fruit.classes, "images": fruit.images[:, 0, 0, 0].tolist()}
found["answer"] = json.loads(sbn("predict", "digits.onnx", image, "--json"))
speed = ("--runs", "3", "--max-seconds", "20", "-o", "speed.json", "--json")
found["speed"] = json.loads(sbn("benchmark", "digits.onnx", *speed))
sbn("profile", "digits.onnx", "--runs", "3")
sbn("calibrate", "digits.onnx", *digits)
sbn("report", "speed.json", "evaluation.json", "-o", "report.html")
sbn("bundle", "digits.onnx", "--target", "linux-x86_64", "-o", "digits.zip")
found["doctor"] = json.loads(sbn("doctor", "--json"))
# With what the encoding of the console lacks.
print("\N{GREEK SMALL LETTER OMEGA}", file=sys.stderr)
main(["doctor"])
main(["inspect", "digits.onnx"])
print("\\n" + json.dumps(found))
"""


# macOS, which has far more in common with Linux, only by `make test-long`.
@pytest.mark.parametrize("system", ["win32", pytest.param("darwin", marks=pytest.mark.long)])
def test_all_of_it(system: str, tmp_path: Path) -> None:
    """Every module is imported; a network is trained, exported, measured and reported on."""
    folder = tmp_path / "with a blank"
    folder.mkdir()
    *shown, last = run(system, IMPORT + USE, folder).splitlines()
    found = json.loads(last)
    assert found["doctor"]["ok"]
    assert found["doctor"]["machine"]["lacks"]
    (timing, *_) = found["speed"]["results"]
    assert timing["process_bytes"] > 1 << 20
    assert found["speed"]["machine"]["state"]["mhz"] > 100
    assert found["answer"]
    assert found["classes"] == ["Apple", "Cherry", "banana"]
    order = [0, 18, 36, 9, 27, 45]  # A0, A2, A4, b1, b3, b5
    assert found["images"] == sorted(found["images"][:5], key=order.index) * 3
    assert any("cannot reset it" in line for line in shown)
    assert "cannot reset it" in (folder / "report.html").read_text(encoding="utf-8")
