"""After how long out of sight is half of the memory lost? The delay at which success falls half-way to chance.

Half-way means (1 + chance) / 2, the same level for all models: a half-life relative to a model's own start would reward
one that is poor from the start. Delays are few and the longest is often survived, so the answer may be "longer than the
longest delay tried" or "shorter than the shortest": then the value is that delay and `censored` says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from worldsim.errors import ShapeError
from worldsim.metrics.functional.isotonic import isotonic

Float = NDArray[np.float64]
Method = Literal["isotonic", "logistic"]

_RIDGE = 1e-3  # keeps the slope finite where some delay separates all successes from all failures


@dataclass(frozen=True, kw_only=True)
class HalfLife:
    """A half-life, perhaps only a bound of one.

    Attributes:
        value: In the unit of the delays; NaN = undefined (no observations).
        censored: "longer" or "shorter" than `value`, which is then the longest or shortest delay tried; "" = measured.
        method: Which fit.
        delays: (D,) ascending, the delays tried.
        means: (D,) mean success at each.
        fit: (D,) the fitted curve there, never rising.
    """

    value: float
    censored: Literal["", "longer", "shorter"]
    method: Method
    delays: Float
    means: Float
    fit: Float

    def __str__(self) -> str:
        words = {"": "", "longer": "longer than ", "shorter": "shorter than "}[self.censored]
        return f"{words}{self.value:.4g}" if np.isfinite(self.value) else "undefined"


def half_life(
    delays: ArrayLike,
    successes: ArrayLike,
    chance: float,
    worlds: ArrayLike | None = None,
    *,
    method: Method = "isotonic",
) -> HalfLife:
    """The delay at which success falls to (1 + chance) / 2.

    "isotonic": least squares among curves that never rise; between the two delays around the crossing the curve is a
    line over log(1 + delay), for delays are tried in powers. Assumes nothing else of the shape.
    "logistic": success = chance + (1 - chance) / (1 + exp(b log(1 + delay) - a)), b >= 0, by maximum likelihood with a
    weak ridge on b: smoother with few events, and wrong where memory ends at once after some length.

    Args:
        delays: (N,) how long each thing was unseen, 0 or above.
        successes: (N,) 1 = still known, 0 = lost; a mean over samples may lie between. The isotonic fit also takes
            scores from below 0, such as Youden's J with chance 0.
        chance: Expected success of one who knows nothing, below 1.
        worlds: (N,) the world of each event; its events of one delay are averaged first. None = each event is a world.
        method: Which fit.

    Raises:
        ShapeError: On shapes that differ, values that are not finite, a chance of 1 or above, or for "logistic"
            success outside 0..1.
    """
    d, s = np.asarray(delays, dtype=np.float64), np.asarray(successes, dtype=np.float64)
    owners = np.arange(len(d)) if worlds is None and d.ndim == 1 else np.asarray(worlds)
    if d.ndim != 1 or s.shape != d.shape or owners.shape != d.shape:
        raise ShapeError(f"expected one delay, success and world an event, got {d.shape}, {s.shape}, {owners.shape}")
    if not (np.isfinite(d).all() and np.isfinite(s).all() and (d >= 0).all()):
        raise ShapeError("delays and successes must be finite and delays 0 or above; leave undefined events out")
    if not chance < 1.0:
        raise ShapeError(f"chance must be below 1, got {chance}")
    if method not in ("isotonic", "logistic"):
        raise ShapeError(f"the method must be 'isotonic' or 'logistic', got {method!r}")
    empty = np.empty(0)
    if not len(d):
        return HalfLife(value=float("nan"), censored="", method=method, delays=empty, means=empty, fit=empty)
    grid, means, counts = _by_delay(d, s, owners)
    if method == "logistic":
        if means.min() < 0.0 or means.max() > 1.0:
            raise ShapeError("a logistic fit needs success in 0..1; use method='isotonic' for scores below 0")
        fit, crossing = _logistic(grid, means, counts, chance)
    else:
        fit = -isotonic(-means, counts)
        crossing = _crossing(grid, fit, (1.0 + chance) / 2.0)
    value, censored = _bounded(crossing, grid)
    return HalfLife(value=value, censored=censored, method=method, delays=grid, means=means, fit=fit)


def _by_delay(delays: Float, successes: Float, owners: NDArray[np.generic]) -> tuple[Float, Float, Float]:
    """Delays tried (D,), mean success over worlds there (D,), number of worlds (D,)."""
    grid, at = np.unique(delays, return_inverse=True)
    _, who = np.unique(owners, return_inverse=True)
    shape = (len(grid), int(who.max()) + 1)
    total, size = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (at, who), successes)
    np.add.at(size, (at, who), 1.0)
    counts = (size > 0).sum(axis=1).astype(np.float64)
    return grid, (total / np.maximum(size, 1.0)).sum(axis=1) / counts, counts


def _crossing(grid: Float, fit: Float, level: float) -> float:
    """Where the falling curve meets the level; +-inf if it stays above or starts below."""
    below = np.flatnonzero(fit <= level + 1e-12)
    if not len(below):
        return float("inf")
    k = int(below[0])
    if k == 0:
        return float(grid[0]) if fit[0] >= level - 1e-12 else float("-inf")
    share = (fit[k - 1] - level) / (fit[k - 1] - fit[k])
    log = np.log1p(grid[k - 1 : k + 1])
    return float(np.expm1(log[0] + share * (log[1] - log[0])))


def _logistic(grid: Float, means: Float, counts: Float, chance: float) -> tuple[Float, float]:
    x = np.log1p(grid)
    floor = max(chance, 0.0)

    def loss(theta: Float) -> float:
        z = theta[0] - theta[1] * x
        p = floor + (1.0 - floor) * expit(z)
        log_q = np.log1p(-floor) + log_expit(-z)  # log(1 - p), exact where p is near 1
        log_p = np.log(np.maximum(p, 1e-300))
        return float(-(counts * (means * log_p + (1.0 - means) * log_q)).sum() + _RIDGE * theta[1] ** 2)

    starts = [
        (0.0, 0.0),
        *((b * float(np.log1p(at)), b) for at in (grid[0], np.median(grid), grid[-1]) for b in (1, 4)),
    ]
    runs = [minimize(loss, np.array(s), method="L-BFGS-B", bounds=((-200.0, 200.0), (0.0, 50.0))) for s in starts]
    a, b = min(runs, key=lambda run: float(run.fun)).x
    fit = floor + (1.0 - floor) * expit(a - b * x)
    if b < 1e-9:  # a flat line never crosses
        return fit, float("inf") if a > 0 else float("-inf")
    return fit, float(np.expm1(min(a / b, 700.0)))


def _bounded(crossing: float, grid: Float) -> tuple[float, Literal["", "longer", "shorter"]]:
    if crossing > grid[-1]:
        return float(grid[-1]), "longer"
    if crossing < grid[0]:
        return float(grid[0]), "shorter"
    return crossing, ""
