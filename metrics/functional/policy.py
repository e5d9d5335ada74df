"""Can policies be judged inside a simulator? Agreement of their success there with their success in the truth.

Every score takes `truth` and `model`: (..., P) mean success (or return) of the same P policies, and returns (...)
float64; leading axes are independent tables, so that a bootstrap is one call. NaN = undefined, for instance a rank
correlation when all policies are equally good.

Limits: with P = 8 policies a Spearman correlation needs 0.74 to be significant (0.65 at P = 10). MMRV, bias and regret
are in units of success: their size depends on how far the policies lie apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from worldsim.errors import ShapeError, UnsupportedError
from worldsim.seeding import generator

Float = NDArray[np.float64]

MIN_POLICIES = 8  # fewer cannot be ranked: a random order of five is perfect once in 120
MIN_STARTS = 2


def _pair(truth: ArrayLike, model: ArrayLike, least: int = 2) -> tuple[Float, Float]:
    t, m = np.asarray(truth, dtype=np.float64), np.asarray(model, dtype=np.float64)
    if t.shape != m.shape or t.ndim < 1:
        raise ShapeError(f"truth and model must have the same shape (..., policies), got {t.shape} and {m.shape}")
    if t.shape[-1] < least:
        raise ShapeError(f"expected at least {least} policies, got {t.shape[-1]}")
    if not (np.isfinite(t).all() and np.isfinite(m).all()):
        raise ShapeError("success holds NaN: leave a policy out of both sides, or count its failure as one")
    return t, m


def _correlation(t: Float, m: Float) -> Float:
    """Over the last axis; NaN where either side does not vary (beyond rounding)."""
    x, y = t - t.mean(axis=-1, keepdims=True), m - m.mean(axis=-1, keepdims=True)
    norms = []
    for deviation, values in ((x, t), (y, m)):
        norm = np.sqrt(np.square(deviation).sum(axis=-1))
        still = norm <= 1e-12 * np.abs(values).max(axis=-1) * np.sqrt(values.shape[-1])
        norms.append(np.where(still, np.nan, norm))
    return np.asarray(np.clip((x * y).sum(axis=-1) / (norms[0] * norms[1]), -1.0, 1.0))


def pearson(truth: ArrayLike, model: ArrayLike) -> Float:
    """Pearson's r, in -1..1."""
    return _correlation(*_pair(truth, model))


def spearman(truth: ArrayLike, model: ArrayLike) -> Float:
    """Spearman's rho, in -1..1: Pearson's r of the ranks, ties getting their mean rank."""
    t, m = _pair(truth, model)
    return _correlation(rankdata(t, axis=-1), rankdata(m, axis=-1))


def kendall(truth: ArrayLike, model: ArrayLike) -> Float:
    """Kendall's tau-b, in -1..1: (concordant - discordant) / sqrt(untied in truth x untied in model), Kendall 1945."""
    t, m = _pair(truth, model)
    a, b = _signs(t), _signs(m)
    untied = np.square(a).sum(axis=(-1, -2)) * np.square(b).sum(axis=(-1, -2))
    return np.asarray((a * b).sum(axis=(-1, -2)) / np.sqrt(np.where(untied > 0, untied, np.nan)))


def _signs(values: Float) -> Float:
    return np.asarray(np.sign(values[..., :, None] - values[..., None, :]))


def bias(truth: ArrayLike, model: ArrayLike) -> Float:
    """Mean of model - truth: above 0 = the simulator is too kind."""
    t, m = _pair(truth, model, least=1)
    return np.asarray((m - t).mean(axis=-1))


def mmrv(truth: ArrayLike, model: ArrayLike) -> Float:
    """Mean maximum rank violation, 0 or above (Li et al. 2024, SIMPLER, section IV).

    The mean over policies i of the largest |truth_i - truth_j| over all j with (model_i > model_j) != (truth_i >
    truth_j): how much true success a wrong order costs. As in SIMPLER's code a tie in the model is charged to the truly
    better policy of the two.
    """
    t, m = _pair(truth, model)
    wrong = (_signs(m) > 0) != (_signs(t) > 0)
    gap = np.abs(t[..., :, None] - t[..., None, :])
    return np.asarray(np.where(wrong, gap, 0.0).max(axis=-1).mean(axis=-1))


def regret(truth: ArrayLike, model: ArrayLike) -> Float:
    """Regret@1, 0 or above: true success lost by taking the policy that is best in the model.

    Where several are best there, the mean over them: a simulator that cannot tell policies apart gets the regret of a
    random choice, not of the first in the list.
    """
    t, m = _pair(truth, model, least=1)
    best = m == m.max(axis=-1, keepdims=True)
    return np.asarray(t.max(axis=-1) - (t * best).sum(axis=-1) / best.sum(axis=-1))


SCORES: dict[str, Callable[[ArrayLike, ArrayLike], Float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "bias": bias,
    "mmrv": mmrv,
    "regret": regret,
}


def agreement(truth: ArrayLike, model: ArrayLike) -> Float:
    """Within each policy, does it succeed from the same starts? Phi = Pearson's r over starts: (P, S) -> (P,).

    NaN for a policy that always or never succeeds on either side: its starts cannot be told apart.
    """
    t, m = _pair(truth, model)
    if t.ndim != 2:
        raise ShapeError(f"expected (policies, starts), got shape {t.shape}")
    return _correlation(t, m)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score with its bootstrap interval.

    Attributes:
        value: NaN = undefined.
        low, high: Percentile interval; NaN where fewer than half of the resamples decide it.
        undefined: Share of resamples in which the score is undefined.
    """

    value: float
    low: float
    high: float
    undefined: float


def bootstrap(
    truth: ArrayLike, model: ArrayLike, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> dict[str, Estimate]:
    """All of `SCORES` with intervals by resampling policies and starts, both at once (Owen 2007, pigeonhole bootstrap).

    The same policies and starts are drawn on both sides. A policy drawn twice ties with itself, which makes rank scores
    of the resamples a little too high in absolute value: their intervals are approximate.

    Args:
        truth: (P, S) success of policy p from start s, in 0..1, or a return.
        model: (P, S), the same policies and starts.
        seed: Of the resamples.
        resamples: How many.
        level: Confidence.

    Raises:
        ShapeError: On wrong shapes or NaN.
        UnsupportedError: With fewer than 8 policies or 2 starts.
    """
    t, m = _pair(truth, model, least=1)
    if t.ndim != 2:
        raise ShapeError(f"expected (policies, starts), got shape {t.shape}")
    policies, starts = t.shape
    if policies < MIN_POLICIES or starts < MIN_STARTS:
        raise UnsupportedError(
            f"expected at least {MIN_POLICIES} policies and {MIN_STARTS} starts, got {policies} and {starts}"
        )
    if resamples < 1 or not 0 < level < 1:
        raise ShapeError(f"expected resamples >= 1 and a level in 0..1, got {resamples} and {level}")
    rng = generator("policy", seed)
    rows = rng.integers(0, policies, (resamples, policies))
    weights = rng.multinomial(starts, np.full(starts, 1.0 / starts), size=resamples) / starts  # (R, S)
    drawn_t, drawn_m = (np.take_along_axis(weights @ side.T, rows, axis=1) for side in (t, m))
    # Means that are equal must be equal to the last bit, or ties would be broken by the order of summation.
    drawn_t, drawn_m = drawn_t.round(12), drawn_m.round(12)
    mean_t, mean_m = t.mean(axis=1).round(12), m.mean(axis=1).round(12)
    tail = (1.0 - level) / 2.0
    out = {}
    for name, score in SCORES.items():
        draws = score(drawn_t, drawn_m)
        known = draws[np.isfinite(draws)]
        low, high = np.quantile(known, [tail, 1.0 - tail]) if 2 * len(known) >= resamples else (np.nan, np.nan)
        out[name] = Estimate(
            value=float(score(mean_t, mean_m)), low=float(low), high=float(high), undefined=1.0 - len(known) / resamples
        )
    return out


def optimisation_lift(before: ArrayLike, after: ArrayLike) -> float:
    """What training inside the simulator gained outside it: mean true success after minus before, over (S,) starts."""
    b, a = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if b.ndim != 1 or a.shape != b.shape or len(b) == 0 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ShapeError(f"expected finite success from the same starts (S,), got shapes {b.shape} and {a.shape}")
    return float((a - b).mean())
