"""Comparing likelihoods after calibration, so that an average is not blamed for being modest.

The mean of many networks is less confident than each of them. One number, the
temperature T, undoes that: p_T(k) is proportional to p(k)^(1/T). Ashukha et al.,
Pitfalls of in-domain uncertainty estimation (2020), show that uncertainties are compared
fairly only at each model's own best temperature, found by cross-validation.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.evaluate.calibration import negative_log_likelihood
from sbn_runtime.uncertainty import softmax

RANGE = (0.05, 20.0)
_STEPS = 40
_GOLDEN = (sqrt(5) - 1) / 2


def at_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities [N, K] to the power 1 / `temperature`, normalised again."""
    logits = np.log(probabilities.clip(min=np.finfo(np.float32).tiny)) / np.float32(temperature)
    return softmax(logits).astype(np.float32)


def best_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature from 0.05 to 20 at which labels [N] are most probable.

    The likelihood has one peak in 1/T, so that golden-section search finds it.
    """

    def loss(logarithm: float) -> float:
        warmed = at_temperature(probabilities, exp(logarithm))
        return float(negative_log_likelihood(warmed, labels).mean())

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
        calibrated[half] = at_temperature(probabilities[half], temperature)
        temperatures.append(temperature)
    return calibrated, sqrt(temperatures[0] * temperatures[1])
