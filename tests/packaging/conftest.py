"""What the tests of packaging share."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..once import once
from . import answers, models
from .wheels import ROOT, built, installed


@dataclass(frozen=True)
class Answers:
    """Models, and what they answer here.

    Attributes:
        folder: of the models and their inputs.
        here: by name of kernel set, model and output.
    """

    folder: Path
    here: dict[str, np.ndarray]

    def compare(self, file: Path) -> None:
        """Fails unless another device, with any kernel set, gave the same bits."""
        there = dict(np.load(file))
        expected = {key.split("/", 1)[1]: value for key, value in self.here.items()}
        kernel_sets = {key.split("/")[0] for key in there}
        assert "scalar" in kernel_sets
        assert there.keys() == {f"{isa}/{key}" for isa in kernel_sets for key in expected}
        for key, value in there.items():
            wanted = expected[key.split("/", 1)[1]]
            assert value.dtype == wanted.dtype, key
            if key.endswith("/probabilities"):
                # onnxruntime's exponential rounds as the CPU's vectors suit it.
                np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6, err_msg=key)
            else:
                np.testing.assert_array_equal(value, wanted, err_msg=key)
        for name, words in models.golden_words().items():
            for isa in kernel_sets:
                signs = there[f"{isa}/{name}/Y"].ravel()
                assert [f"{word:016x}" for word in signs.tolist()] == words


@dataclass(frozen=True)
class Environment:
    """A virtual environment; programs in it run outside the source tree."""

    path: Path
    workdir: Path

    def run(self, program: str, *args: str) -> str:
        """Standard output of a program that must exit with status 0."""
        done = self.try_run(program, *args)
        assert done.returncode == 0, f"{program} {args}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def try_run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SBN_ISA")}
        return subprocess.run(
            [self.path / "bin" / program, *args],
            cwd=self.workdir,
            env=clean,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree for this machine."""
    return built(tmp_path_factory, platform.machine())


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install sbn-deploy` gives a device. No test changes it."""
    return Environment(installed(tmp_path_factory), tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Trained networks and the golden noise, computed here."""

    def make(folder: Path) -> None:
        models.write(folder)
        answers.main(folder, folder / "here.npz")

    folder = once(tmp_path_factory, "packaging-models", make)
    return Answers(folder, dict(np.load(folder / "here.npz")))
