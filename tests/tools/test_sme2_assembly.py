"""What gcc builds of the kernels of SME2 is what clang makes of their source."""

from __future__ import annotations

import re
import shutil

import pytest

from . import sme2_assembly


def test_the_assembly_is_fresh() -> None:
    for program in (sme2_assembly.CLANG, sme2_assembly.ASSEMBLER):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    committed = sme2_assembly.ASSEMBLY.read_text()
    [made_by] = re.findall(r"^// clang (.*)$", committed, re.MULTILINE)
    if sme2_assembly.version() != made_by:
        pytest.skip(f"made by clang {made_by}, here is {sme2_assembly.version()}")
    assert sme2_assembly.generate() == committed, "run python -m tests.tools.sme2_assembly"


def test_streaming_code_calls_nothing_and_leaves_other_registers_alone() -> None:
    code = re.findall(r"^\t([a-z][\w.]*)\s*(.*)$", sme2_assembly.ASSEMBLY.read_text(), re.MULTILINE)
    assert len(code) > 200
    for name, operands in code:
        assert name not in {"bl", "blr", "br", "svc", "mrs", "msr"}, (name, operands)
        assert not re.search(
            r"\b[vqdsx]\d+\.|\b[vqdsh]\d+\b|\b[xw]18\b", operands.split("//")[0]
        ), (
            name,
            operands,
        )
