"""Robust aggregates over runs and tasks, as Agarwal et al. 2021 (arXiv 2108.13264) recommend. Pure functions.

A table holds one score for each run of each task: (runs, tasks) float. Here a task is a scenario or metric and a run a
world; a mean over all of them is moved by a few outliers and hides which system is usually better.

Limits: the interquartile mean ignores the best and the worst quarter by design: a failure in fewer than a quarter of
the cells does not move it. Intervals resample runs within each task, so they hold for these tasks only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from worldsim.errors import ShapeError
from worldsim.seeding import generator

Float = NDArray[np.float64]

CHUNK = 1 << 22  # numbers held at once while resampling


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean of what is left when the lowest and the highest quarter are cut off.

    From each end floor(n / 4) numbers are cut, as in `scipy.stats.trim_mean`, so that n < 4 gives the plain mean.

    Args:
        scores: Any shape, at least one number; all count alike.

    Raises:
        ShapeError: On an empty array or NaN.
    """
    return float(_iqm(_table(scores, None).reshape(1, -1))[0])


def _iqm(rows: Float) -> Float:
    cut = rows.shape[-1] // 4
    middle = np.sort(rows, axis=-1)[..., cut : rows.shape[-1] - cut]
    return np.asarray(middle.mean(axis=-1))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) + P(X = Y) / 2 for a random run of each on the same task, averaged over tasks; 0.5 = no difference.

    The Mann-Whitney U of each task over the number of pairs. The two may have different numbers of runs.

    Args:
        x: (runs, tasks), higher is better.
        y: (runs of y, tasks).

    Raises:
        ShapeError: On wrong shapes, different numbers of tasks, or NaN.
    """
    a, b = _table(x, 2), _table(y, 2)
    if a.shape[1] != b.shape[1]:
        raise ShapeError(f"both tables must have the same tasks (columns), got {a.shape[1]} and {b.shape[1]}")
    ranks = rankdata(np.concatenate([a, b]), axis=0)[: len(a)].sum(axis=0)
    wins = ranks - len(a) * (len(a) + 1) / 2.0
    return float((wins / (len(a) * len(b))).mean())


def stratified_bootstrap(
    statistic: Callable[..., float], *tables: ArrayLike, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a statistic of one or more tables: runs are drawn anew within each task and table.

    Args:
        statistic: Takes as many (runs, tasks) arrays as tables are passed, and returns a number.
        tables: Each (runs, tasks).
        seed: Of the resamples.
        resamples: How many.
        level: Confidence.

    Raises:
        ShapeError: On wrong shapes, NaN, no table, no resample, or a level outside 0..1.
    """
    arrays = [_table(t, 2) for t in tables]
    if not arrays or resamples < 1 or not 0.0 < level < 1.0:
        raise ShapeError(
            f"expected a table, resamples >= 1 and a level in 0..1, got {len(arrays)}, {resamples}, {level}"
        )
    rng = generator("stratified-bootstrap", seed)
    per_chunk = max(1, CHUNK // sum(a.size for a in arrays))
    draws: list[float] = []
    while len(draws) < resamples:
        size = min(per_chunk, resamples - len(draws))
        drawn = [np.take_along_axis(a[None], rng.integers(0, len(a), (size, *a.shape)), axis=1) for a in arrays]
        draws.extend(float(statistic(*parts)) for parts in zip(*drawn, strict=True))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return float(low), float(high)


def _table(values: ArrayLike, ndim: int | None) -> Float:
    out = np.asarray(values, dtype=np.float64)
    if (ndim is not None and out.ndim != ndim) or out.size == 0 or not np.isfinite(out).all():
        wanted = "(runs, tasks)" if ndim else "at least one number"
        raise ShapeError(f"scores must be {wanted}, not empty and finite, got shape {out.shape}")
    return out
