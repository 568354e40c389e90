"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from sbn_deploy import nn

FOUND = [
    importlib.import_module(info.name)
    for info in pkgutil.walk_packages(nn.__path__, f"{nn.__name__}.")
]
MODULES = [
    module
    for module in FOUND
    if any(test.examples for test in doctest.DocTestFinder().find(module))
]


def test_layers_have_examples() -> None:
    assert {"sbn_deploy.nn.conv", "sbn_deploy.nn.linear"} <= {m.__name__ for m in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
