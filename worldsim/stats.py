"""Statistics with the world as the unit: intervals, comparisons, power. Pure functions; every draw comes from a seed.

Frames, events and samples of one world are not independent, so the bootstrap resamples worlds. A statistic is given as
a function of *counts*: (R, n) how often each of the n worlds was drawn in each of R resamples -> (R, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from worldsim.errors import ShapeError
from worldsim.seeding import generator

Float = NDArray[np.float64]
Statistic = Callable[[Float], Float]

MIN_CLUSTERS_BCA = 20  # below it bias and acceleration are estimated too badly to correct with


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A bootstrap interval of one or more statistics.

    Attributes:
        low, high: (...) float64; NaN where no resample decided it.
        error: (...) float64, standard error: the spread of the resamples.
        method: "BCa", or "percentile" when there are fewer than 20 worlds: a warning to the reader.
    """

    low: Float
    high: Float
    error: Float
    method: str


def cluster_bootstrap(
    statistic: Statistic, n: int, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Interval by resampling n worlds: bias-corrected and accelerated (Efron 1987), percentile below 20 worlds.

    Both are widened for small n as in Hesterberg 2015, eq. 8: the nominal tails become Phi(sqrt(n/(n-1)) t_{n-1}), for
    the spread of resamples is sqrt((n-1)/n) of what it should be and its normal tails are too thin.

    Args:
        statistic: counts (R, n) -> (R, ...); counts of all ones give the estimate itself. May return NaN.
        n: Number of worlds, at least 1.
        seed: Of the resamples.
        resamples: R.
        level: Confidence.
    """
    if n < 1 or resamples < 1:
        raise ShapeError(f"the bootstrap needs at least one world and one resample, got {n} and {resamples}")
    counts = generator("bootstrap", seed, n).multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(np.float64)
    draws = np.asarray(statistic(counts))
    point = np.asarray(statistic(np.ones((1, n))))[0]
    if n == 1:
        nothing = np.full(point.shape, np.nan)
        return Interval(low=nothing, high=nothing, error=nothing, method="percentile")
    tail = (1.0 - level) / 2.0
    z = np.sqrt(n / (n - 1)) * stdtrit(n - 1, np.array([tail, 1.0 - tail]))  # (2,)
    bca = n >= MIN_CLUSTERS_BCA
    if bca:
        bias = _bias(draws, point)
        acceleration = _acceleration(np.asarray(statistic(1.0 - np.eye(n))))
        shifted = bias + z.reshape(2, *[1] * point.ndim)
        z_at = bias + shifted / np.maximum(1.0 - acceleration * shifted, 1e-6)
    else:
        z_at = np.broadcast_to(z.reshape(2, *[1] * point.ndim), (2, *point.shape))
    low, high = (_quantile(draws, ndtr(part)) for part in z_at)
    return Interval(low=low, high=high, error=_nan_std(draws), method="BCa" if bca else "percentile")


def _bias(draws: Float, point: Float) -> Float:
    """z0: how far the estimate lies from the middle of its resamples; ties count half, so that constants give 0."""
    known = np.isfinite(draws)
    scale = 1e-12 * np.maximum(np.abs(point), 1.0)  # equal up to rounding is equal
    below = ((draws < point - scale) & known).sum(axis=0) + 0.5 * ((np.abs(draws - point) <= scale) & known).sum(axis=0)
    size = np.maximum(known.sum(axis=0), 1)
    return np.asarray(ndtri(np.clip(below / size, 0.5 / size, 1.0 - 0.5 / size)))


def _acceleration(jackknife: Float) -> Float:
    """a: skewness of the leave-one-out values (n, ...) / 6, Efron 1987 eq. 6.6."""
    known = np.isfinite(jackknife)
    values = np.where(known, jackknife, 0.0)
    mean = values.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    deviation = np.where(known, mean - values, 0.0)
    square = np.square(deviation).sum(axis=0)
    varies = square > 0
    scale = 6.0 * np.where(varies, square, 1.0) ** 1.5
    return np.asarray(np.where(varies, (deviation**3).sum(axis=0) / scale, 0.0))


def _quantile(draws: Float, q: Float) -> Float:
    """The q-quantile (linear interpolation) of each column of (R, ...), q (...) differing by column; NaN ignored."""
    ordered = np.sort(draws, axis=0)  # NaN go last
    known = np.isfinite(draws).sum(axis=0)
    at = q * np.maximum(known - 1, 0)
    below = np.floor(at).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(known - 1, 0))
    low = np.take_along_axis(ordered, below[None], axis=0)[0]
    high = np.take_along_axis(ordered, above[None], axis=0)[0]
    return np.asarray(np.where(known > 0, low + (at - below) * (high - low), np.nan))


def _nan_std(draws: Float) -> Float:
    known = np.isfinite(draws)
    size = known.sum(axis=0)
    values = np.where(known, draws, 0.0)
    mean = values.sum(axis=0) / np.maximum(size, 1)
    square = np.where(known, np.square(values - mean), 0.0).sum(axis=0)
    return np.asarray(np.where(size > 1, np.sqrt(square / np.maximum(size - 1, 1)), np.nan))


def wilson(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a rate with one event a world (Wilson 1927); (0, 1) for n = 0."""
    if not 0 <= successes <= n:
        raise ShapeError(f"successes must be 0..n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + level / 2.0))
    rate, squared = successes / n, z * z / n
    centre = (rate + squared / 2.0) / (1.0 + squared)
    half = z / (1.0 + squared) * np.sqrt(rate * (1.0 - rate) / n + squared / (4.0 * n))
    return max(0.0, centre - float(half)), min(1.0, centre + float(half))


def paired_permutation(differences: Any, *, seed: int, permutations: int = 10_000) -> float:
    """Two-sided p of "the mean of the paired differences is 0" by flipping signs; exact up to 13 worlds (2^13 flips).

    Args:
        differences: (n,) one number a world: model A minus model B on the same world, actions and noise.
        seed: Of the flips when they are sampled; sampled p is (1 + hits) / (1 + permutations), Phipson and Smyth 2010.
        permutations: How many flips are sampled.
    """
    x = _vector(differences)
    n = len(x)
    observed = abs(x.sum()) * (1.0 - 1e-12)  # what equals it up to rounding counts as a hit
    if n <= 13:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ x) >= observed).mean())
    signs = 1.0 - 2.0 * generator("permutation", seed, n).integers(0, 2, (permutations, n))
    return float((1 + (np.abs(signs @ x) >= observed).sum()) / (1 + permutations))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for the number of questions asked (Holm 1979), in the given order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(adjusted, 1.0)
    return [float(v) for v in out]


def tost(differences: Any, margin: float) -> float:
    """P of "the mean lies outside (-margin, margin)": two one-sided t tests (Schuirmann 1987). Small p = equivalent.

    0 or 1 if all differences are the same number; 1 with a single world. Where most worlds do not differ and few differ
    much, it passes too often, for the few may be missing from the sample (docs/statistics.md).
    """
    x = _vector(differences)
    if margin <= 0:
        raise ShapeError(f"the margin of equivalence must be positive, got {margin}")
    if len(x) < 2:
        return 1.0
    mean, error = float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))
    if error <= 1e-12 * max(margin, abs(mean)):  # all the same up to rounding: the mean is known
        return 0.0 if abs(mean) < margin * (1.0 - 1e-9) else 1.0
    df = len(x) - 1
    return float(max(stdtr(df, (mean - margin) / error), stdtr(df, -(mean + margin) / error)))


def minimum_detectable_effect(error: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The true effect that a two-sided test with this standard error finds with the given power: 2.80 x error."""
    return float((ndtri(1.0 - alpha / 2.0) + ndtri(power)) * error)


def rank_intervals(
    scores: Any, *, higher_is_better: bool, seed: int, resamples: int = 2000, level: float = 0.95
) -> list[tuple[int, int]]:
    """Best and worst credible rank (1 = best) of each of M models: bootstrap over worlds shared by all.

    Args:
        scores: (n worlds, M models) float.
        higher_is_better: Direction.
        seed: Of the resamples.
        resamples: How many.
        level: Confidence.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ShapeError(f"scores must be (worlds, models) and finite, got {table.shape}")
    n = len(table)
    counts = generator("ranks", seed, n).multinomial(n, np.full(n, 1.0 / n), size=resamples)
    means = counts @ table / n * (1.0 if higher_is_better else -1.0)
    best = 1 + (means[:, None, :] > means[:, :, None] + 1e-12).sum(axis=2)  # ties: the better rank for `low`,
    worst = (means[:, None, :] >= means[:, :, None] - 1e-12).sum(axis=2)  # the worse for `high`
    tail = (1.0 - level) / 2.0
    low = np.quantile(best, tail, axis=0, method="lower")
    high = np.quantile(worst, 1.0 - tail, axis=0, method="higher")
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def _vector(values: Any) -> Float:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ShapeError(f"expected a non-empty vector of finite numbers, one a world, got shape {x.shape}")
    return x
