from __future__ import annotations

import pytest

from .platforms import parsed, speed


def test_times_of_one_thread_by_kernel_set() -> None:
    said = "\n".join(
        f"/models/{model}.onnx: {time} us on {threads} threads"
        for first in (1000, 10, 20)
        for model, time, threads in (
            ("a b", f"{first}.0", 1),
            ("a b", "1.0", 2),
            ("c", f"{first}.5", 1),
            ("c", "1.0", 2),
        )
    )
    assert parsed(["scalar", "avx2", "avx512"], said) == {
        ("avx2", "a b"): 10.0,
        ("avx2", "c"): 10.5,
        ("avx512", "a b"): 20.0,
        ("avx512", "c"): 20.5,
    }


def test_speed_is_the_ratio_of_medians() -> None:
    assert speed([9.0] * 10, [10.0] * 10) == pytest.approx((0.9, 0.9, 0.9))
    # One round in ten was disturbed.
    ratio, low, high = speed([9.0] * 10, [10.0] * 9 + [50.0])
    assert (ratio, high) == pytest.approx((0.9, 0.9))
    assert 0.8 < low <= 0.9
    ratio, low, high = speed([8.0, 9.0, 10.0] * 4, [10.0] * 12)
    assert ratio == pytest.approx(0.9)
    assert low < ratio < high
