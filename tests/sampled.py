"""Long lists of cases: a few in every test run, all of them in `make test-long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet


def few(cases: Iterable[Any], count: int) -> list[Any]:
    """The cases, all but `count` of them marked long; those are evenly spread from the first on."""
    every = list(cases)
    kept = {index * len(every) // count for index in range(count)}
    return [case if index in kept else _long(case) for index, case in enumerate(every)]


def _long(case: Any) -> ParameterSet:
    if isinstance(case, ParameterSet):
        return pytest.param(*case.values, marks=[*case.marks, pytest.mark.long], id=case.id)
    values = case if isinstance(case, tuple | list) else (case,)
    return pytest.param(*values, marks=pytest.mark.long)
