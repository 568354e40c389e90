"""What every verb takes: -q, -v, completion; tables; what is left after a failure."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sbn_deploy import cli
from sbn_deploy.commands.common import show_table
from sbn_runtime import __version__

from ..command import sbn
from ..small_models import Classifier, random_images, write_pixel_classifier

CHECKPOINT = str(Path(__file__).parents[2] / "models" / "digits-cnn" / "checkpoint.safetensors")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"sbn {__version__}\n"


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sbn_deploy", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"sbn {__version__}\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and a data set for it."""
    model = write_pixel_classifier(tmp_path / "m.onnx")
    images = random_images(15)[..., 0]
    np.savez(
        tmp_path / "set.npz", images=images, labels=np.arange(15) % 3,
        test_images=images, test_labels=np.arange(15) % 3,
    )  # fmt: skip
    return model, tmp_path / "set.npz"


@pytest.mark.parametrize("place", ["before", "behind"])
def test_quiet(files: tuple[Path, Path], place: str) -> None:
    model, data = files
    arguments = ["evaluate", model, "--data", f"npz:{data}"]
    loud = sbn(*arguments)
    quiet = sbn("-q", *arguments) if place == "before" else sbn(*arguments, "--quiet")
    assert loud.stderr
    assert (quiet.status, quiet.stderr) == (0, "")
    assert quiet.stdout.splitlines()[0] == loud.stdout.splitlines()[0]
    line = sbn("-q", "evaluate", model, "--data", "digits:x").refused()
    assert "unknown data set" in line


def test_verbose_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    model = Classifier.random().write(tmp_path / "m.onnx")
    short = sbn("predict", model, tmp_path / "broken.npy")
    assert len(short.stderr.splitlines()) == 1
    long = sbn("predict", model, tmp_path / "broken.npy", "-v")
    assert "Traceback" in long.stderr
    assert long.stderr.splitlines()[-1] == short.stderr.splitlines()[-1]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*cli.VERBS, "--min-confidence", "linux-arm64"):
        assert word in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_completion_without_shtab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["--print-completion", "bash"]) == 2


@pytest.mark.parametrize("width", [80, 60, 200])
def test_tables_fit_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    columns = ["model", *(f"column {index}" for index in range(12))]
    show_table(columns, [("a", *range(12)), ("b", *range(12, 24))])
    text = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, text.splitlines())) <= width
    for name in columns:
        assert name in text
    assert (text.count("model") == 1) == (width == 200)


def test_no_answers_are_kept_of_what_fails(files: tuple[Path, Path], tmp_path: Path) -> None:
    model, _ = files
    np.savez(
        tmp_path / "large.npz", images=np.zeros((6, 4, 4), np.uint8), labels=np.arange(6) % 3,
        test_images=np.full((6, 4, 4), 200, np.uint8), test_labels=np.arange(6) % 3,
    )  # fmt: skip
    out = tmp_path / "out.json"
    outcome = sbn("evaluate", model, "--data", f"npz:{tmp_path / 'large.npz'}", "-o", out)
    assert "none of the 6 images" in outcome.refused_after_progress()
    assert not list(tmp_path.glob("*.part"))


# As where no folder that Python tries can be written to. In a process of its own: torch would
# not be whole afterwards.
WITHOUT_TEMPORARY_FOLDER = """
import sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/none"]
from sbn_deploy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--epochs", "1", "--out", "run"),
        ("export", CHECKPOINT, "-o", "x.onnx"),
        ("calibrate", "m.onnx", "--data", "npz:set.npz"),
        ("benchmark", "m.onnx", "--runs", "10"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_is_said_without_a_temporary_folder(
    arguments: tuple[str, ...], files: tuple[Path, Path], tmp_path: Path
) -> None:
    before = {*tmp_path.iterdir()}
    command = (sys.executable, "-c", WITHOUT_TEMPORARY_FOLDER, *arguments)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("sbn: error: there is no writable temporary folder; create")
    assert "TMPDIR" in line
    assert {path for path in tmp_path.iterdir() if path.is_file()} == before
