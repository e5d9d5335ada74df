"""Smooth random fields, and places in a landscape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], knots: int) -> NDArray[np.float64]:
    """(X, Z) value noise in -1..1 with `knots` bumps along each axis, smoothly interpolated."""
    grid = rng.uniform(-1, 1, (knots + 1, knots + 1))

    def along(n: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        t = np.linspace(0, knots, n, endpoint=False)
        f = t % 1
        return t.astype(np.intp), f * f * (3 - 2 * f)

    (i, a), (j, b) = along(size[0]), along(size[1])
    rows = grid[i] * (1 - a)[:, None] + grid[i + 1] * a[:, None]
    return np.asarray(rows[:, j] * (1 - b) + rows[:, j + 1] * b)


def rim_distance(size: tuple[int, int]) -> NDArray[np.float64]:
    """(X, Z): 0 in the middle, 1 at the edge of the grid."""
    x, z = np.mgrid[: size[0], : size[1]]
    return np.asarray(np.maximum(abs(2 * x / (size[0] - 1) - 1), abs(2 * z / (size[1] - 1) - 1)))


def level_spot(
    heights: NDArray[np.int64],
    free: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    reach: int = 1,
    flat: int = 1,
    tries: int = 400,
) -> tuple[int, int] | None:
    """A random column (x, z) whose neighbourhood of `reach` cells is free and level to `flat` cells, or None."""
    nx, nz = heights.shape
    for _ in range(tries):
        x, z = int(rng.integers(reach + 1, nx - reach - 1)), int(rng.integers(reach + 1, nz - reach - 1))
        area = (slice(x - reach, x + reach + 1), slice(z - reach, z + reach + 1))
        if free[area].all() and np.ptp(heights[area]) <= flat:
            return x, z
    return None
