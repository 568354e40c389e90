"""Fitting what calibrates probabilities: a temperature, and offsets of classes.

p_T(k) is proportional to (m_k exp(o_k))^(1/T) for the mean m of networks, as
`sbn_runtime.calibration` has it. The mean of many networks is less confident than each of them; the
temperature T corrects that (Guo et al. 2017). Ashukha et al. (2020) show that uncertainties are
compared fairly only at each model's own best temperature, found by cross-validation. Offsets o
correct classes that are predicted too often (bias-corrected temperature scaling, Alexandari et al.
2020): vector scaling with one slope for all classes.

A few wrong images say little about a temperature, hence a prior: log T is normal around 0 with a
standard deviation of 0.5; if offsets are fitted, so is each o/T, and 1/T around 1. With thousands
of images it makes no difference.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.calibration import SMALLEST, tempered
from sbn_runtime.uncertainty import softmax

RANGE = (0.05, 20.0)
_STEPS = 40
_GOLDEN = (sqrt(5) - 1) / 2
_DEVIATION = 0.5
_NEWTON = 50

Floats = NDArray[np.float64]


def best_temperature(
    probabilities: NDArray[Any], labels: NDArray[np.int64], offsets: Floats | float = 0.0
) -> float:
    """The most probable temperature from 0.05 to 20, given labels [N]; see the module.

    Args:
        probabilities: [N, K].
        offsets: [K] or one for all.

    The sum has one peak, so that golden-section search finds it.
    """

    logits = _logarithms(probabilities) + offsets
    # Relative to the largest, so that probabilities of 1 do not lose precision.
    behind = logits - logits.max(axis=1, keepdims=True)
    of_true = behind[np.arange(len(labels)), labels]

    def loss(logarithm: float) -> float:
        slope = exp(-logarithm)
        likelihood = np.log(np.exp(slope * behind).sum(axis=1)) - slope * of_true
        return float(likelihood.sum()) + logarithm**2 / (2 * _DEVIATION**2)

    low, high = map(log, RANGE)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return exp((low + high) / 2)


def best_offsets(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> Floats:
    """The most probable offsets [K] along with some temperature, their mean 0; see the module.

    Newton's method on the slope w = 1/T and the intercepts b = o/T of the logits w log m + b, of
    which the loss is convex.
    """
    logits = _logarithms(probabilities)
    count, classes = logits.shape
    truth = np.zeros_like(logits)
    truth[np.arange(count), labels] = 1
    precision = 1 / _DEVIATION**2
    w, b = 1.0, np.zeros(classes)
    for _ in range(_NEWTON):
        p = softmax(w * logits + b)
        mean = (p * logits).sum(axis=1)
        gradient = np.append(
            ((p - truth) * logits).sum() + precision * (w - 1),
            (p - truth).sum(axis=0) + precision * b,
        )
        hessian = np.empty((classes + 1, classes + 1))
        hessian[0, 0] = (p * logits**2).sum() - (mean**2).sum()
        hessian[0, 1:] = hessian[1:, 0] = (p * (logits - mean[:, np.newaxis])).sum(axis=0)
        hessian[1:, 1:] = np.diag(p.sum(axis=0)) - p.T @ p
        step = np.linalg.solve(hessian + precision * np.eye(classes + 1), gradient)
        # Far from the end a whole step may lead too far.
        step *= min(1.0, 1.0 / np.abs(step).max())
        w, b = max(w - step[0], 1 / RANGE[1]), b - step[1:]
        if np.abs(step).max() < 1e-10:
            break
    offsets = b / w
    centred: Floats = offsets - offsets.mean()
    return centred


def _logarithms(probabilities: NDArray[Any]) -> Floats:
    found: Floats = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
    return found


def cross_calibrated(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], float]:
    """Probabilities [N, K], each half of the images at the best temperature of the other.

    Halves are the images with even and with odd index; N at least 2. Also the geometric
    mean of the two temperatures.
    """
    even = np.arange(len(labels)) % 2 == 0
    calibrated = np.empty_like(probabilities)
    temperatures = []
    for half in (even, ~even):
        temperature = best_temperature(probabilities[~half], labels[~half])
        calibrated[half] = tempered(probabilities[half], temperature)
        temperatures.append(temperature)
    return calibrated, sqrt(temperatures[0] * temperatures[1])
