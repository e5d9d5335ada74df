"""Does a score follow the severity of a fault? A permutation test on the isotonic fit, with the world as unit.

Under the null hypothesis severity does nothing, so within each world the scores may change places among the severities.
The statistic is how far the isotonic fit of the level means rises: the sum of squares of (fit - mean), the numerator of
Bartholomew's E-bar^2 (Robertson, Wright and Dykstra 1988, chapter 2). It finds every monotone shape, a step as well as
a slope, and is 0 for a curve that only falls.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.metrics.functional.isotonic import isotonic
from worldsim.seeding import generator

Float = NDArray[np.float64]
Assignment = NDArray[np.int64]

EXACT = 20_000  # up to so many arrangements are counted one by one
_CHUNK = 2_000  # permutations held at once


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A trend over levels of severity.

    Attributes:
        p: One-sided, small = the values follow the severity; None where a level has no value.
        tau: Kendall's tau-b of severity and value over the levels, 1 = all go the right way; None if all are equal.
        values: (S+1,) at each level.
        fit: (S+1,) isotonic fit of them, in the direction that was asked for.
        effect: fit[-1] - fit[0]: below 0 for a falling trend.
        exact: Every arrangement was counted; otherwise `permutations` of them were drawn.
        permutations: How many arrangements p is made of.
    """

    p: float | None
    tau: float | None
    values: Float
    fit: Float
    effect: float
    exact: bool
    permutations: int


def trend_test(
    values: Any, *, rising: bool = True, seed: int = 0, permutations: int = 10_000, exact: int = EXACT
) -> Trend:
    """Do means over worlds rise (or fall) with severity?

    Args:
        values: (S+1, W) float, the score of each world at increasing severity, without the fault first. A world that
            has no score at some severity is to be left out of all.
        rising: The direction that is expected; the score of a metric that is better when higher falls.
        seed: Of the permutations when they are drawn; drawn p is (1 + hits) / (1 + permutations), never 0.
        permutations: How many are drawn.
        exact: All (S+1)!^W arrangements are counted if they are no more than this; then p is hits / arrangements.

    Raises:
        ShapeError: Unless there are at least 2 levels and 1 world, all finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 1 or not np.isfinite(x).all():
        raise ShapeError(f"expected finite scores (severities >= 2, worlds >= 1), got shape {x.shape}")
    if permutations < 1:
        raise ShapeError(f"a permutation test needs at least one permutation, got {permutations}")
    sign = 1.0 if rising else -1.0
    levels, worlds = x.shape
    observed = float(_rise(sign * x.mean(axis=1)))
    least = _just_below(observed, x)
    arrangements = math.factorial(levels) ** worlds if worlds < 40 else math.inf
    if arrangements <= exact:
        # sums of one world's permuted scores, added up world by world: (arrangements so far, levels)
        sums = np.zeros((1, levels))
        orders = np.array(list(itertools.permutations(range(levels))))
        for w in range(worlds):
            sums = (sums[:, None, :] + x[orders, w][None]).reshape(-1, levels)
        hits = int((_rise(sign * sums / worlds) >= least).sum())
        p, count = hits / len(sums), len(sums)
    else:
        rng = generator("trend", seed, levels, worlds)
        hits, count = 0, permutations
        for start in range(0, permutations, _CHUNK):
            size = min(_CHUNK, permutations - start)
            order = rng.random((size, levels, worlds)).argsort(axis=1)
            means = np.take_along_axis(x[None], order, axis=1).mean(axis=2)
            hits += int((_rise(sign * means) >= least).sum())
        p = (1 + hits) / (1 + permutations)
    return _trend(x.mean(axis=1), sign, p, exact=arrangements <= exact, permutations=count)


def permuted_trend(
    statistic: Callable[[Assignment], Any],
    levels: int,
    worlds: int,
    seed: int = 0,
    permutations: int = 999,
    *,
    rising: bool = True,
) -> Trend:
    """The same for a score that is no mean over worlds (a rank correlation, a distance of distributions).

    Args:
        statistic: assignment (S+1, W) int64 -> (S+1,) values: at level l it takes the rows of world w from severity
            assignment[l, w]. It is called once for the data as they are and once for each permutation.
        levels: S+1.
        worlds: W.
        seed: Of the permutations.
        permutations: How many; the least p is 1 / (1 + permutations).
        rising: The direction that is expected.

    Returns:
        p None if a level of the data has no value (NaN). A permutation without a value counts as a hit, so that holes
        never make a trend.

    Raises:
        ShapeError: On fewer than 2 levels or 1 world, or a statistic of the wrong shape.
    """
    if levels < 2 or worlds < 1 or permutations < 1:
        raise ShapeError(
            f"expected at least 2 levels, 1 world and 1 permutation, got {levels}, {worlds} and {permutations}"
        )
    sign = 1.0 if rising else -1.0
    identity = np.repeat(np.arange(levels, dtype=np.int64)[:, None], worlds, axis=1)

    def at(assignment: Assignment) -> Float:
        found = np.asarray(statistic(assignment), dtype=np.float64)
        if found.shape != (levels,):
            raise ShapeError(f"the statistic must give one value a level, ({levels},), got shape {found.shape}")
        return found

    values = at(identity)
    if not np.isfinite(values).all():
        return Trend(
            p=None,
            tau=None,
            values=values,
            fit=np.full(levels, np.nan),
            effect=float("nan"),
            exact=False,
            permutations=0,
        )
    least = _just_below(float(_rise(sign * values)), values)
    rng = generator("permuted-trend", seed, levels, worlds)
    hits = 0
    for _ in range(permutations):
        found = at(rng.random((levels, worlds)).argsort(axis=0).astype(np.int64))
        hits += not np.isfinite(found).all() or bool(_rise(sign * found) >= least)
    return _trend(values, sign, (1 + hits) / (1 + permutations), exact=False, permutations=permutations)


def _rise(means: Float) -> Float:
    """Sum of squares of the isotonic fit about its mean: (..., L) -> (...)."""
    fit = isotonic(means)
    return np.asarray(np.square(fit - fit.mean(axis=-1, keepdims=True)).sum(axis=-1))


def _just_below(observed: float, values: Float) -> float:
    """What equals the observed statistic up to rounding counts as a hit; then no trend at all gives p = 1."""
    scale = float(np.abs(values).max())
    return observed * (1.0 - 1e-9) - 1e-24 * scale * scale


def _trend(values: Float, sign: float, p: float, *, exact: bool, permutations: int) -> Trend:
    fit = sign * isotonic(sign * values)
    return Trend(
        p=float(p),
        tau=kendall_tau(sign * values),
        values=values,
        fit=fit,
        effect=float(fit[-1] - fit[0]),
        exact=exact,
        permutations=permutations,
    )


def kendall_tau(values: Any) -> float | None:
    """Tau-b of the values with their own order, in -1..1: 1 = each is above the one before; None if all are equal."""
    v = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(len(v), 1)
    steps = v[second] - v[first]
    signs = np.where(np.abs(steps) > 1e-12 * np.abs(v).max(initial=0.0), np.sign(steps), 0.0)
    untied = float(np.abs(signs).sum())
    return None if untied == 0 else float(signs.sum() / math.sqrt(untied * len(steps)))
