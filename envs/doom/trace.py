"""Exact depth: the ray of every pixel through the plan, with the ceilings where the engine has them. Compiled by numba.

All walls lie on the grid of the plan, so that a walk from cell to cell (Amanatides & Woo 1987) meets every sector,
convex or not, in order. Rays have camera-z 1, so that the ray parameter is the planar depth in metres.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.jit import njit


@njit(cache=True)
def trace(
    cells: Any,
    ceilings: Any,
    owners: Any,
    switches: Any,
    camera: Any,
    focal: float,
    full: float,
    height: int,
    width: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Depth and instance of the static world.

    Args:
        cells: (X, Z) int32, sector of each cell, -1 = solid.
        ceilings: (S,) float64, height of each sector's ceiling, metres; floors are at 0.
        owners: (S,) int32, instance id of the door that is the sector, 0 = none.
        switches: (N, 5) int64: the solid cell (x, z), the cell in front of it (x, z), instance id.
        camera: (4, 4) float64 world_from_camera; the eye is in an open cell.
        focal: Pixels.
        full: Height of an open ceiling, metres.
        height: Rows.
        width: Columns.

    Returns:
        (height, width) float32 metres along camera z, and (height, width) int32 ids, 0 = none.
    """
    depth = np.full((height, width), np.inf, np.float32)
    ids = np.zeros((height, width), np.int32)
    ex, ey, ez = camera[0, 3], camera[1, 3], camera[2, 3]
    for v in range(height):
        for u in range(width):
            a, b = (u + 0.5 - 0.5 * width) / focal, (v + 0.5 - 0.5 * height) / focal
            dx = camera[0, 0] * a + camera[0, 1] * b + camera[0, 2]
            dy = camera[1, 0] * a + camera[1, 1] * b + camera[1, 2]
            dz = camera[2, 0] * a + camera[2, 1] * b + camera[2, 2]
            i, k = math.floor(ex), math.floor(ez)
            step_i, step_k = (1 if dx > 0 else -1), (1 if dz > 0 else -1)
            next_x = (i + (dx > 0) - ex) / dx if dx != 0 else np.inf
            next_z = (k + (dz > 0) - ez) / dz if dz != 0 else np.inf
            gap_x = abs(1.0 / dx) if dx != 0 else np.inf
            gap_z = abs(1.0 / dz) if dz != 0 else np.inf
            level = -ey / dy if dy < 0 else np.inf  # where the ray meets the floor
            while 0 <= i < cells.shape[0] and 0 <= k < cells.shape[1] and cells[i, k] >= 0:
                sector = cells[i, k]
                roof = (ceilings[sector] - ey) / dy if dy > 0 else np.inf
                border = min(next_x, next_z)
                if level <= border:
                    depth[v, u] = level
                    break
                if roof <= border:
                    depth[v, u] = max(roof, 1e-3)
                    ids[v, u] = owners[sector] if ceilings[sector] < full else 0
                    break
                old_i, old_k = i, k
                if next_x <= next_z:
                    i += step_i
                    next_x += gap_x
                else:
                    k += step_k
                    next_z += gap_z
                other = cells[i, k] if 0 <= i < cells.shape[0] and 0 <= k < cells.shape[1] else -1
                if other < 0:
                    depth[v, u] = border
                    for n in range(switches.shape[0]):
                        s = switches[n]
                        if s[0] == i and s[1] == k and s[2] == old_i and s[3] == old_k:
                            ids[v, u] = s[4]
                    break
                if ey + dy * border > ceilings[other]:
                    depth[v, u] = border
                    ids[v, u] = owners[other]
                    break
    return depth, ids
