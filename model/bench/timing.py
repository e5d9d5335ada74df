"""Times of things that are measured in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def percentile(seconds: Sequence[float], q: float) -> float:
    """Milliseconds, to the microsecond."""
    return round(1e3 * float(np.percentile(np.asarray(seconds), q)), 3)


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Smallest, median, 95th and 99th percentile in milliseconds."""
    return {
        "min_ms": percentile(seconds, 0),
        "p50_ms": percentile(seconds, 50),
        "p95_ms": percentile(seconds, 95),
        "p99_ms": percentile(seconds, 99),
    }


def interleaved(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, block: int = 5, warmup: int = 2
) -> dict[str, list[float]]:
    """Seconds of every call, taken in turn: `block` of the first, `block` of the second, ..., `rounds` times.

    Args:
        calls: By name.
        rounds: Times that each has its turn.
        block: Calls in one turn; the first of a turn finds cold caches and is not counted if there are others.
        warmup: Calls of each before all.
    """
    for call in calls.values():
        for _ in range(warmup):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            for i in range(block):
                start = time.perf_counter()
                call()
                taken = time.perf_counter() - start
                if i or block == 1:
                    seconds[name].append(taken)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], over: str, under: str) -> dict[str, float]:
    """How many times longer `over` takes than `under`: of the fastest calls, and of the medians."""
    a, b = seconds[over], seconds[under]
    return {"min": round(min(a) / min(b), 3), "median": round(float(np.median(a) / np.median(b)), 3)}
