"""Thresholds equal the trained batch-norm's own arithmetic, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from sbn_converters.onnx.channelwise import Add, BatchNorm, ChannelStep, Clip, Mul, PRelu, apply_all
from sbn_converters.onnx.thresholds import NotAThreshold, float_intervals, integer_thresholds


def _statistics(seed: int, channels: int, products: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(channels, generator=generator)

    def some(share: float) -> torch.Tensor:
        return torch.rand(channels, generator=generator) < share

    weight, bias = normal() * ~some(0.15), normal() * ~some(0.4)
    mean = torch.round(normal() * products**0.5) + some(0.5) * normal()
    return weight, bias, mean, torch.rand(channels, generator=generator) * products


def _torch_batch_norm(x: torch.Tensor, statistics: tuple[torch.Tensor, ...]) -> torch.Tensor:
    weight, bias, mean, variance = statistics
    return functional.batch_norm(x, mean, variance, weight, bias, False, 0.1, 1e-5)


def _step(statistics: tuple[torch.Tensor, ...]) -> BatchNorm:
    weight, bias, mean, variance = (tensor.numpy() for tensor in statistics)
    return BatchNorm.from_statistics(weight, bias, mean, variance, 1e-5)


@given(st.integers(0, 2**31), st.integers(1, 2000), st.integers(1, 130))
def test_batch_norm_has_torchs_signs_at_every_accumulator(
    seed: int, products: int, channels: int
) -> None:
    statistics = _statistics(seed, channels, products)
    dots = torch.arange(-products, products + 1).float()[:, None].expand(-1, channels)
    expected = _torch_batch_norm(dots.contiguous(), statistics)
    step = _step(statistics)
    assert np.array_equal(step.apply(dots.numpy()) < 0, expected.numpy() < 0)

    found = integer_thresholds([step], products, channels)
    turned = np.where(found.negate, -dots.numpy(), dots.numpy())
    assert np.array_equal(turned >= found.threshold, ~(expected.numpy() < 0))
    assert found.threshold.min() >= -products
    assert found.threshold.max() <= products + 1


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_intervals_have_torchs_signs_at_the_switch_and_beside_it(seed: int, channels: int) -> None:
    statistics = _statistics(seed, channels, 50)
    low, high = float_intervals([_step(statistics)], channels)
    edges = np.stack([np.where(np.isfinite(low), low, high), np.zeros(channels)])
    edges = np.where(np.isfinite(edges), edges, 0).astype(np.float32)
    around = [
        edges,
        np.nextafter(edges, np.float32(np.inf)),
        np.nextafter(edges, np.float32(-np.inf)),
    ]
    x = np.concatenate([*around, np.float32([[-1e30] * channels, [1e30] * channels])])
    expected = _torch_batch_norm(torch.from_numpy(x), statistics).numpy()
    assert np.array_equal((x < low) | (x > high), expected < 0)


def test_tie_at_the_mean_counts_as_plus_one() -> None:
    step = BatchNorm.from_statistics(
        np.float32([1, -1]), np.float32([0, 0]), np.float32([5, 5]), np.float32([4, 4]), 0.0
    )
    found = integer_thresholds([step], 9, 2)
    assert found.threshold.tolist() == [5, -5]
    assert found.negate.tolist() == [False, True]


def test_the_stated_direction_is_the_one_that_values_show() -> None:
    step = BatchNorm(np.float32([0.3, -0.3, 0]), np.float32([-1.5, 1.5, 1]))
    values = step.apply(np.float32([[-1] * 3, [1] * 3]))
    assert np.array_equal(np.sign(values[1] - values[0]), step.direction())


def test_long_chains_are_evaluated_step_by_step() -> None:
    steps: list[ChannelStep] = [
        Add(np.float32([2, -2])),
        Mul(np.float32([-1, 0.5])),
        PRelu(np.float32([0.25, 0.25])),
        Clip(np.float32([-1, -1]), np.float32([1, 1])),
        Add(np.float32([0.5, 0.5])),
    ]
    found = integer_thresholds(steps, 20, 2)
    dots = np.arange(-20, 21, dtype=np.float32)[:, None].repeat(2, axis=1)
    expected = ~(apply_all(steps, dots) < 0)
    turned = np.where(found.negate, -dots, dots)
    assert np.array_equal(turned >= found.threshold, expected)


def test_a_sign_that_changes_twice_is_refused() -> None:
    bump: list[ChannelStep] = [PRelu(np.float32([-1])), Add(np.float32([-3]))]
    with pytest.raises(NotAThreshold, match="channel 0"):
        integer_thresholds(bump, 10, 1)
    with pytest.raises(NotAThreshold, match="monotone"):
        float_intervals(bump, 1)
