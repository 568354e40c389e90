"""The wheel for 64-bit ARM, under qemu as the cores of Raspberry Pi 3, 4 and 5."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import arm
from .arm import CORES, Arm
from .conftest import Answers
from .oldest import OLDEST
from .wheels import CONSTRAINTS, ROOT, built, system_libraries

pytestmark = pytest.mark.skipif(bool(arm.missing()), reason=arm.missing())


@pytest.fixture(scope="module")
def machine() -> Arm:
    try:
        return arm.make()
    except RuntimeError as error:
        pytest.skip(f"no Python for 64-bit ARM can be had: {error}")


@pytest.fixture(scope="module")
def arm_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory, "aarch64")


@pytest.fixture(scope="module")
def installed(machine: Arm, arm_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel and what it requires are installed."""
    return machine.install(tmp_path_factory.mktemp("arm") / "site", CONSTRAINTS, str(arm_wheel))


def check_answers(
    machine: Arm, core: str, installed: Path, trained: Answers, tmp_path: Path
) -> None:
    output = tmp_path / "there.npz"
    script = ROOT / "tests" / "packaging" / "answers.py"
    done = machine.run(core, str(script), str(trained.folder), str(output), path=[installed])
    assert done.returncode == 0, done.stderr
    trained.compare(output)


@pytest.mark.long
def test_wheel_keeps_its_platform_tag(arm_wheel: Path) -> None:
    assert system_libraries(arm_wheel) <= {"libc.so.6", "ld-linux-aarch64.so.1"}


@pytest.mark.long
@pytest.mark.parametrize("core", CORES)
def test_answers_are_those_of_this_machine(
    machine: Arm, core: str, installed: Path, trained: Answers, tmp_path: Path
) -> None:
    check_answers(machine, core, installed, trained, tmp_path)


@pytest.mark.long
def test_oldest_onnxruntime(
    machine: Arm, arm_wheel: Path, trained: Answers, tmp_path: Path
) -> None:
    site = machine.install(tmp_path / "site", *OLDEST[machine.version], str(arm_wheel))
    check_answers(machine, CORES[0], site, trained, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("version", OLDEST)
def test_every_python_can_install_it(arm_wheel: Path, version: str, tmp_path: Path) -> None:
    """There are wheels of all that it requires."""
    arm.install(version, tmp_path, "--dry-run", str(arm_wheel))
    arm.install(version, tmp_path, "--dry-run", *OLDEST[version], str(arm_wheel))


@pytest.mark.long
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    "tests",
    [*sorted(ROOT.glob("tests/runtime/test_*.py")), ROOT / "tests/golden/test_golden.py"],
    ids=lambda p: p.stem,
)
def test_runtime(machine: Arm, installed: Path, testing: Path, core: str, tests: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-profile=emulated"]
    done = machine.run(
        core, "-m", "pytest", *options, str(tests), path=[installed, testing, ROOT], timeout=3600
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def testing(machine: Arm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the packages are installed that the runtime's tests need besides."""
    folder = tmp_path_factory.mktemp("arm") / "testing"
    return machine.install(
        folder, CONSTRAINTS, "hypothesis", "onnx", "onnxscript", "pytest", "scipy"
    )
