"""Where an episode starts: a place with an open view and something to see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.camera import EYE_HEIGHT
from worldsim.envs.blocks.kinds import column_tops
from worldsim.envs.blocks.layout import ObjectSpec, clear_line

_HALF_VIEW = math.radians(30)  # half of what a square image sees (70 degrees), less a margin


def viewpoint(
    cells: NDArray[np.uint8],
    spots: NDArray[np.int64],
    objects: Sequence[ObjectSpec],
    rng: np.random.Generator,
    *,
    far: float,
    draws: int = 24,
) -> tuple[tuple[float, float, float], float]:
    """The feet (x, y, z) and the yaw in degrees with the widest view among some draws.

    Args:
        cells: (X, Z, Y) kinds.
        spots: (N, 3) cells x, y, z where a body can stand.
        objects: Each draw looks roughly at one of them; those in sight between 3 m and `far` count most.
        rng: Draws the candidates.
        far: Metres.
        draws: How many candidates.
    """
    near = np.lib.stride_tricks.sliding_window_view(np.pad(column_tops(cells), 2), (5, 5)).max((2, 3))
    airy = near[spots[:, 0], spots[:, 2]] <= spots[:, 1]
    if airy.any():  # not under a tree, nor close to a wall
        spots = spots[airy]
    best, chosen = -1.0, (_feet(spots[0]), 0.0)
    for _ in range(draws):
        x, y, z = feet = _feet(spots[int(rng.integers(len(spots)))])
        target = objects[int(rng.integers(len(objects)))].position if objects else (x, y, z + 1.0)
        yaw = math.degrees(math.atan2(x - target[0], target[2] - z)) + float(rng.uniform(-12, 12))
        eye = (x, y + EYE_HEIGHT, z)
        score = 0.0
        for thing in objects:
            dx, dz = thing.position[0] - x, thing.position[2] - z
            turn = (math.atan2(-dx, dz) - math.radians(yaw) + math.pi) % (2 * math.pi) - math.pi
            middle = (thing.position[0], thing.position[1] + 0.4, thing.position[2])
            if abs(turn) < _HALF_VIEW and 3 <= math.hypot(dx, dz) <= far and clear_line(cells, eye, middle):
                score += 1.0
        for turn_degrees in (-25, 0, 25):
            a = math.radians(yaw + turn_degrees)
            for part in (0.15, 0.33, 0.67, 1.0):
                ahead = (x - math.sin(a) * far * part, eye[1] - 0.3, z + math.cos(a) * far * part)
                score += 0.15 if clear_line(cells, eye, ahead) else 0.0
            step = (x - math.sin(a) * 4, y + 0.3, z + math.cos(a) * 4)  # no bank right ahead
            score += 0.4 if clear_line(cells, eye, step) else 0.0
        if score > best:
            best, chosen = score, (feet, round((yaw + 180) % 360 - 180, 2))
    return chosen


def _feet(spot: NDArray[np.int64]) -> tuple[float, float, float]:
    x, y, z = (int(q) for q in spot)
    return (x + 0.5, float(y), z + 0.5)
