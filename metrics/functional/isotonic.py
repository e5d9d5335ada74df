"""The best fit that only rises: what is left of a noisy curve when it is known to be monotone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.errors import ShapeError

Float = NDArray[np.float64]


def isotonic(values: ArrayLike, weights: ArrayLike | None = None) -> Float:
    """Least-squares fit among curves that never fall, along the last axis.

    What pooling adjacent violators gives, as the max-min formula (Robertson, Wright and Dykstra 1988, theorem 1.4.4):
    fit_i = max over a <= i of min over b >= i of the mean of values a..b. It costs L^2 numbers a curve, and many curves
    are fitted at once. For curves that never rise, negate values and fit.

    Args:
        values: (..., L) finite.
        weights: (L,) or (..., L), above 0; None = equal.

    Returns:
        (..., L) float64.

    Raises:
        ShapeError: On empty or non-finite values, or weights that are not above 0.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.ndim < 1 or v.shape[-1] < 1 or not np.isfinite(v).all():
        raise ShapeError(f"expected finite values (..., levels), got shape {v.shape}")
    w = np.ones_like(v) if weights is None else np.broadcast_to(np.asarray(weights, dtype=np.float64), v.shape)
    if not (np.isfinite(w).all() and (w > 0).all()):
        raise ShapeError("the weights of an isotonic fit must be finite and above 0")
    size = v.shape[-1]
    start = np.zeros((*v.shape[:-1], 1))
    mass = np.concatenate([start, w.cumsum(axis=-1)], axis=-1)
    total = np.concatenate([start, (w * v).cumsum(axis=-1)], axis=-1)
    # mean[..., a, b] of values a..b; +inf where b < a, so that the minimum over b passes it over.
    backwards = np.tril(np.ones((size, size), dtype=bool), -1)
    spread = mass[..., None, 1:] - mass[..., :-1, None]
    mean = (total[..., None, 1:] - total[..., :-1, None]) / np.where(backwards, 1.0, spread)
    mean = np.where(backwards, np.inf, mean)
    lowest = np.minimum.accumulate(mean[..., ::-1], axis=-1)[..., ::-1]  # [..., a, i]: min over b >= i
    lowest = np.where(backwards, -np.inf, lowest)  # a > i does not count in the maximum
    return np.asarray(lowest.max(axis=-2))
