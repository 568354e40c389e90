"""The digits and their split."""

from __future__ import annotations

import numpy as np
import pytest

from sbn_deploy import data
from sbn_runtime.errors import ConfigError


def rows(dataset: data.Dataset) -> set[bytes]:
    return {image.tobytes() for image in dataset.images}


def test_splits_are_disjoint_complete_and_stratified() -> None:
    train, validation, test = (data.load("digits", s) for s in ("train", "validation", "test"))
    both = data.load("digits", "train+validation")
    assert len(train) + len(validation) == len(both)
    assert len(both) + len(test) == 1797
    assert len(test) == 360
    assert rows(train) | rows(validation) == rows(both)
    assert not rows(test) & rows(both)
    assert not rows(train) & rows(validation)
    for part in (train, validation, test):
        share = np.bincount(part.labels, minlength=10) / len(part)
        assert share.min() > 0.08
        assert share.max() < 0.12


def test_inputs_are_exact_multiples_of_an_eighth() -> None:
    digits = data.load("digits", "test")
    inputs = digits.inputs()
    assert inputs.dtype == np.float32
    assert inputs.shape == (360, 1, 8, 8)
    assert np.array_equal(inputs[:, 0] * 8 + 8, digits.images[..., 0])


def test_unknown_names_are_errors() -> None:
    with pytest.raises(ConfigError, match="unknown data set 'mnist'; choose one of digits"):
        data.load("mnist", "test")
    with pytest.raises(ConfigError, match="unknown split 'dev'"):
        data.load("digits", "dev")  # type: ignore[arg-type]
