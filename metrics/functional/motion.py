"""Does the camera move as much, and when, as it was told to? Gain, lag and error of measured motions.

Motions are (n, 4) arrays in the units of `egomotion.COMPONENTS`: degrees of yaw and pitch, metres ahead and to the
right. "Seen" is what the estimator reads off the true frames, "shown" what it reads off the generated ones, "true" what
the true poses say. Steps that the estimator misreads on the true frames are not scored: that is decided by the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

SLACK = np.array([0.5, 0.5, 0.03, 0.03])  # what the estimator resolves under grain, blur and JPEG: no error below it
MISREAD = np.array([1.0, 1.0, 0.05, 0.05])  # an error on the true frames above it, and above a quarter, is a misreading
ENOUGH = np.array([20.0, 20.0, 0.8, 0.8])  # motion in all that a component needs to be scored: a turn, four strides
LIMIT, WINDOW = 96, 32  # steps measured of a rollout, and in a stretch of a longer one
MAX_LAG = 16  # steps


def stretches(first: int, last: int) -> list[tuple[int, int]]:
    """(start, stop) frame ranges in first..last that are measured: all up to `LIMIT` steps, else three of `WINDOW`."""
    if last - first <= LIMIT:
        return [(first, last)] if last > first else []
    middle = (first + last - WINDOW) // 2
    return [(at, at + WINDOW) for at in (first, middle, last - WINDOW)]


def readable(seen: Float, true: Float) -> Mask:
    """(n, 4) bool: the estimator reads the true motion off the true frames, to `MISREAD` or a quarter of it."""
    return np.asarray(np.abs(seen - true) <= np.maximum(MISREAD, 0.25 * np.abs(true)))


def errors(shown: Float, seen: Float, kept: Mask) -> tuple[Float, Float]:
    """Mean error (4,) over the kept steps, and the mean error of standing still; beyond `SLACK`, NaN without steps.

    Standing still has exactly the second, whoever shows what the truth shows exactly 0.
    """
    count = np.where(kept.any(axis=0), kept.sum(axis=0), np.nan)
    error = (np.maximum(np.abs(shown - seen) - SLACK, 0.0) * kept).sum(axis=0) / count
    still = (np.maximum(np.abs(seen) - SLACK, 0.0) * kept).sum(axis=0) / count
    return error, still


def enough(seen: Float, kept: Mask) -> Mask:
    """(4,) bool: the truth moves by at least `ENOUGH` in the kept steps."""
    return np.asarray((np.abs(seen) * kept).sum(axis=0) >= ENOUGH)


@dataclass(frozen=True, kw_only=True)
class Response:
    """How one component follows.

    Attributes:
        lag: Steps by which what is shown follows the truth: the least shift with the largest correlation.
        gain: Slope of shown on true motion through the origin, at that lag; 1 = as told, negative = mirrored.
        r2: Share of the shown motion's squares that this line explains, 0..1.
    """

    lag: int
    gain: float
    r2: float


def response(shown: Float, true: Float) -> Response:
    """Lag and gain of one component over consecutive steps, both (n,). Lag 0 and gain 0 where nothing moves."""
    if not np.any(true) or not np.any(shown):
        return Response(lag=0, gain=0.0, r2=0.0)
    longest = min(MAX_LAG, max(len(true) - 4, 0))
    sums = [float(shown[k:] @ true[: len(true) - k]) for k in range(longest + 1)]
    sizes = [float(np.linalg.norm(shown[k:]) * np.linalg.norm(true[: len(true) - k])) for k in range(longest + 1)]
    scores = [abs(s) / size if size > 0 else 0.0 for s, size in zip(sums, sizes, strict=True)]
    lag = int(np.argmax(scores))
    x, y = true[: len(true) - lag], shown[lag:]
    power = float(x @ x)
    gain = float(x @ y) / power if power > 0 else 0.0
    return Response(lag=lag, gain=gain, r2=scores[lag] ** 2)
