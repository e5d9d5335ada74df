"""From rows of evidence to statistics that can be resampled: one function of world counts for each source of frames.

Metrics that are functions of means (`protocols.Averaging`) become one array of cells, so that thousands of resamples
are one matrix product; any other metric is reduced again on the resampled rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worldsim.protocols import Averaging, Metric
from worldsim.types import Observation

Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """How the score of one source follows from how often each world is counted.

    Attributes:
        value: counts (R, W) -> (R,); NaN = undefined.
        curve: counts (R, W) -> (R, H); NaN = undefined.
        worlds_at: (H,) int64, worlds that decide each horizon.
        worlds: Worlds that decide anything.
        defined, undefined: Numbers of rows.
        coverage: Share of what should have been scored that was, equal weight to rollouts.
    """

    value: Callable[[Float], Float]
    curve: Callable[[Float], Float]
    worlds_at: NDArray[np.int64]
    worlds: int
    defined: int
    undefined: int
    coverage: float


def horizons_of(rows: Sequence[Observation]) -> NDArray[np.int64]:
    """All horizons or delays in the rows, ascending."""
    return np.array(sorted({r.delay for r in rows if r.delay is not None}), dtype=np.int64)


def estimator(
    metric: Metric,
    rows: Sequence[Observation],
    worlds: Sequence[int],
    horizons: NDArray[np.int64],
    fill: Float | None = None,
) -> Estimator:
    """The estimator of one source.

    Args:
        metric: Whose rows they are.
        rows: Of one source and arm.
        worlds: (W,) the worlds that are counted, in this order; rows of others are left out.
        horizons: (H,) ascending.
        fill: (H, K) what an undefined row counts as (the pessimistic bound); None = it is left out.
    """
    kept = set(worlds)
    rows = [r for r in rows if r.world in kept]
    defined = [r for r in rows if r.outcome is not None]
    units: dict[tuple[str, str, int], list[bool]] = {}
    for r in rows:
        units.setdefault((r.episode, r.arm, r.sample), []).append(r.outcome is not None)
    coverage = float(np.mean([np.mean(flags) for flags in units.values()])) if units else 0.0
    if isinstance(metric, Averaging):
        cells = table(metric, rows, worlds, horizons, fill)
        value, curve = _averaged(metric, cells, horizons)
        worlds_at = np.isfinite(cells[..., 0]).sum(axis=0)
    else:
        value, curve = _reduced(metric, defined, worlds, horizons)
        worlds_at = np.array([len({r.world for r in defined if r.delay == h}) for h in horizons], dtype=np.int64)
    return Estimator(
        value=value,
        curve=curve,
        worlds_at=worlds_at.astype(np.int64),
        worlds=len({r.world for r in defined}),
        defined=len(defined),
        undefined=len(rows) - len(defined),
        coverage=coverage,
    )


def table(
    metric: Averaging,
    rows: Sequence[Observation],
    worlds: Sequence[int],
    horizons: NDArray[np.int64],
    fill: Float | None = None,
) -> Float:
    """The means within each world: (W, H, K) float64, K = 1 + the metric's columns; NaN where no row is defined.

    Arguments as in `estimator`. An undefined row without a horizon (a metric that failed) stands for all horizons.
    """
    at_world = {w: i for i, w in enumerate(worlds)}
    at_horizon = {int(h): i for i, h in enumerate(horizons)}
    shape = (len(worlds), len(horizons), 1 + len(metric.columns))
    sums, counts = np.zeros(shape), np.zeros(shape[:2])
    for r in rows:
        w = at_world[r.world]
        if r.outcome is not None and r.delay is not None:
            h = at_horizon[r.delay]
            sums[w, h] += (r.outcome, *(float(r.details[c]) for c in metric.columns))
            counts[w, h] += 1
        elif r.outcome is None and fill is not None:
            at = slice(None) if r.delay is None else slice(at_horizon[r.delay], at_horizon[r.delay] + 1)
            known = np.asarray(np.isfinite(fill[at]).all(axis=-1))
            sums[w, at] += np.where(known[:, None], fill[at], 0.0)
            counts[w, at] += known
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counts[..., None] > 0, sums / np.maximum(counts, 1)[..., None], np.nan))


def world_means(cells: Float, counts: Float) -> Float:
    """Means over worlds counted so often: cells (W, H, K), counts (R, W) -> (R, H, K); NaN where none is defined."""
    known = np.isfinite(cells[..., 0])
    w, h, k = cells.shape
    total = (counts @ np.where(known[..., None], cells, 0.0).reshape(w, h * k)).reshape(len(counts), h, k)
    size = (counts @ known.astype(np.float64))[..., None]
    return np.asarray(np.where(size > 0, total / np.where(size > 0, size, 1.0), np.nan))


def _averaged(
    metric: Averaging, cells: Float, horizons: NDArray[np.int64]
) -> tuple[Callable[[Float], Float], Callable[[Float], Float]]:
    def value(counts: Float) -> Float:
        if not len(horizons):
            return np.full(len(counts), np.nan)
        return metric.finish(world_means(cells, counts), horizons)

    def curve(counts: Float) -> Float:
        return metric.pointwise(world_means(cells, counts))

    return value, curve


def _reduced(
    metric: Metric, rows: Sequence[Observation], worlds: Sequence[int], horizons: NDArray[np.int64]
) -> tuple[Callable[[Float], Float], Callable[[Float], Float]]:
    of_world = {w: [r for r in rows if r.world == w] for w in worlds}
    copies: dict[tuple[int, int], list[Observation]] = {}

    def drawn(weights: Float) -> list[Observation]:
        """A world drawn twice is two worlds: its copies get their own names, so that `reduce` does not merge them."""
        out: list[Observation] = []
        for i, times in enumerate(weights.astype(np.int64)):
            for k in range(int(times)):
                if (i, k) not in copies:
                    copies[i, k] = [
                        replace(
                            r,
                            world=i + k * len(worlds),
                            episode=f"{r.episode}#{k}" if k else r.episode,
                            pair_id=f"{r.pair_id}#{k}" if k and r.pair_id else r.pair_id,
                        )
                        for r in of_world[worlds[i]]
                    ]
                out += copies[i, k]
        return out

    def value(counts: Float) -> Float:
        scores = (metric.reduce(drawn(weights)).value for weights in counts)
        return np.array([np.nan if v is None else float(v) for v in scores])

    def curve(counts: Float) -> Float:
        out = np.full((len(counts), len(horizons)), np.nan)
        for i, weights in enumerate(counts):
            found = metric.reduce(drawn(weights)).curve or {}
            for j, h in enumerate(horizons):
                at = found.get(int(h))
                out[i, j] = np.nan if at is None else at
        return out

    return value, curve
