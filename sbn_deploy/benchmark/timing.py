"""The figures of an engine."""

from __future__ import annotations

import numpy as np

from sbn_deploy.benchmark.bootstrap import Sessions, median_interval
from sbn_deploy.records.benchmark import FEWEST_CALLS, FEWEST_FOR, Timing


def summarise(model: str, engine: str, threads: int, batch: int, sessions: Sessions) -> Timing:
    """The figures of an engine; `sessions` has at least one call, in milliseconds.

    Those that need more calls are None.
    """
    ms = np.concatenate([calls for session in sessions for calls in session])
    p25, p50, p75, p90, p99 = map(float, np.percentile(ms, (25, 50, 75, 90, 99)))
    fastest = float(ms.min())
    enough = len(ms) >= FEWEST_CALLS
    low, high = (median_interval(sessions, p50) if enough else None) or (None, None)
    quarter = max(1, len(ms) // 4)
    return Timing(
        model=model,
        engine=engine,
        threads=threads,
        batch=batch,
        sessions=len(sessions),
        runs=len(ms),
        p50_ms=p50,
        # No median is below the fastest call.
        prediction_low_ms=None if low is None else max(low, fastest),
        prediction_high_ms=high,
        p90_ms=p90 if len(ms) >= FEWEST_FOR[90] else None,
        p99_ms=p99 if len(ms) >= FEWEST_FOR[99] else None,
        min_ms=fastest,
        images_per_s=batch / p50 * 1e3 if enough else None,
        spread=(p75 - p25) / 2 / p50 if enough else None,
        drift=float(np.median(ms[-quarter:]) / np.median(ms[:quarter])) - 1 if enough else None,
    )
