"""Is a difference too small to matter? Beside `stats.tost`: scores that are no means, and how many worlds it takes.

An equivalence test of level alpha declares "no difference that matters" wrongly in at most alpha of studies in which
the true difference is the margin itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import nctdtr, ndtr, ndtri, stdtr, stdtrit

from worldsim.errors import ShapeError


def tost_from_bootstrap(draws: Any, margin: float, *, worlds: int | None = None) -> float:
    """P of "the statistic lies outside (-margin, margin)" from its resamples. Small p = equivalent.

    The share of resamples beyond each edge, the larger of the two. With `worlds` the share is widened for small samples
    in the way of `stats.cluster_bootstrap` (Hesterberg 2015, eq. 8): the resamples of n worlds spread sqrt((n-1)/n) as
    far as they should, with tails that are too thin.

    Args:
        draws: (R,) resamples of the difference, for example of two skills on the same resampled worlds. One that is
            NaN counts as lying outside on both sides.
        margin: Above 0.
        worlds: n behind the resamples; None = no widening.

    Returns:
        In 0..1, at least 1 / (1 + R) before the widening; but 0 if all draws are the same number inside the margin:
        then no world differs, and there is nothing to be uncertain about that resampling could show.

    Raises:
        ShapeError: On no draws, a margin that is not above 0, or fewer than 1 world.
    """
    x = np.asarray(draws, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ShapeError(f"expected a non-empty vector of resamples, got shape {x.shape}")
    _check_margin(margin)
    if worlds is not None and worlds < 1:
        raise ShapeError(f"expected at least 1 world, got {worlds}")
    if worlds == 1:
        return 1.0  # resampling one world says nothing
    known = np.isfinite(x)
    lost = int((~known).sum())
    if lost == 0 and float(np.ptp(x)) <= 1e-12 * max(margin, float(np.abs(x).max())):
        return 0.0 if abs(float(x[0])) < margin * (1.0 - 1e-9) else 1.0
    beyond = max(int((x[known] >= margin).sum()), int((x[known] <= -margin).sum())) + lost
    share = min((1 + beyond) / (1 + len(x)), 1.0)
    if worlds is None or share >= 0.5:
        return share
    return float(stdtr(worlds - 1, ndtri(share) * np.sqrt((worlds - 1) / worlds)))


def equivalence_power(spread: float, worlds: int, margin: float, *, alpha: float = 0.05) -> float:
    """How often `stats.tost` passes when the true difference is 0: a lower bound, exact to 1e-6 where it is above 0.9.

    Args:
        spread: Standard deviation of the paired differences over worlds.
        worlds: n.
        margin: Of equivalence.
        alpha: Level of the test.
    """
    _check_margin(margin)
    if not np.isfinite(spread) or spread < 0:
        raise ShapeError(f"expected a standard deviation of 0 or above, got {spread}")
    if worlds < 2:
        return 0.0
    if spread == 0:
        return 1.0
    # Each one-sided test fails with P(T < t), T noncentral t (Schuirmann 1987); both fail in what is left of their sum.
    away = margin * np.sqrt(worlds) / spread
    critical = float(stdtrit(worlds - 1, 1.0 - alpha))
    if away > 30:
        return 1.0  # beyond the range in which the noncentral t can be computed, and certain
    one = float(nctdtr(worlds - 1, away, critical))
    return max(0.0, 1.0 - 2.0 * one) if np.isfinite(one) else max(0.0, 1.0 - 2.0 * float(ndtr(critical - away)))


def worlds_for_equivalence(
    spread: float, margin: float, *, power: float = 0.999, alpha: float = 0.05, most: int = 1_000_000
) -> int | None:
    """The least number of worlds with which a true difference of 0 passes `stats.tost` so often; None = over `most`.

    Args:
        spread: Standard deviation of the paired differences over worlds, from a pilot run.
        margin: Of equivalence.
        power: How often it is to pass.
        alpha: Level of the test; alpha / m for a Bonferroni family of m cells.
        most: Where the search ends.
    """
    if equivalence_power(spread, most, margin, alpha=alpha) < power:
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if equivalence_power(spread, middle, margin, alpha=alpha) >= power else (middle, high)
    return high


def _check_margin(margin: float) -> None:
    if not (np.isfinite(margin) and margin > 0):
        raise ShapeError(f"the margin of equivalence must be positive, got {margin}")
