"""Ways around what is known to stand somewhere, for bodies that cannot walk straight to a place. Pure functions."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.controllers.sight import COVER, is_blocked

Cell = tuple[int, int, int]
Obstacle = tuple[NDArray[np.float64], float]  # place (3,) and radius, metres

_STEP = 0.25  # metres between the nodes
_BODY = 0.45  # metres: half a body, and a little more


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where a body could walk, on a square of nodes around where it stands.

    Attributes:
        eye: (3,) metres, at the middle node.
        free: (N, N) bool by [x, z]: nothing known is within half a body of the node.
        metres: (N, N) float64: length of the shortest way there; inf = none.
        before: (N, N) int64: the node before it on that way, as a flat index; -1 = none.
    """

    eye: NDArray[np.float64]
    free: NDArray[np.bool_]
    metres: NDArray[np.float64]
    before: NDArray[np.int64]

    def place(self, x: int, z: int) -> NDArray[np.float64]:
        """(3,) metres of the eye above a node."""
        half = len(self.free) // 2
        return self.eye + _STEP * np.array([x - half, 0.0, z - half])

    def nodes(self) -> Iterator[tuple[int, int]]:
        """The nodes that can be reached, the shortest way first."""
        for index in np.argsort(self.metres, axis=None, kind="stable"):
            x, z = divmod(int(index), len(self.free))
            if not math.isfinite(self.metres[x, z]):
                return
            yield x, z

    def way(self, x: int, z: int) -> list[NDArray[np.float64]]:
        """The corners of the way to a node and the node itself, (3,) metres each, without the start."""
        size = len(self.free)
        nodes = [(x, z)]
        while (index := int(self.before[nodes[-1]])) >= 0:
            nodes.append((index // size, index % size))
        nodes.reverse()
        corners, here = [], 0
        while here < len(nodes) - 1:  # as far along the way as a straight line is free
            farthest = range(len(nodes) - 1, here + 1, -1)
            ahead = next((k for k in farthest if self._clear(nodes[here], nodes[k])), here + 1)
            corners.append(self.place(*nodes[ahead]))
            here = ahead
        return corners

    def _clear(self, a: tuple[int, int], b: tuple[int, int]) -> bool:
        count = 2 * max(abs(b[0] - a[0]), abs(b[1] - a[1])) + 1
        line = np.rint(np.linspace(a, b, count)).astype(int)
        return bool(self.free[line[:, 0], line[:, 1]].all())


def explore_ground(
    solid: Collection[Cell], eye: NDArray[np.float64], reach: float, obstacles: Sequence[Obstacle] = ()
) -> Ground:
    """The ground around a body, with the shortest way to each place.

    Args:
        solid: Known cells (x, y, z) of one metre; those at the height of the body are in its way.
        eye: (3,) metres; its feet are in the cell below that of the eye.
        reach: Metres to walk at most.
        obstacles: What else the body cannot pass.
    """
    half = math.ceil(reach / _STEP)
    line = _STEP * np.arange(-half, half + 1)
    x, z = np.meshgrid(eye[0] + line, eye[2] + line, indexing="ij")
    free = np.ones(x.shape, np.bool_)
    height = math.floor(eye[1])
    for cx, cz in {(cx, cz) for cx, cy, cz in solid if cy in (height, height - 1)}:
        gap_x, gap_z = (np.maximum(np.maximum(c - v, v - c - 1.0), 0.0) for c, v in ((cx, x), (cz, z)))
        free &= np.hypot(gap_x, gap_z) >= _BODY
    for centre, radius in obstacles:
        free &= np.hypot(x - centre[0], z - centre[2]) >= radius + _BODY
    free[half, half] = True  # it stands there
    metres, before = _shortest(free, (half, half), reach)
    return Ground(eye=eye, free=free, metres=metres, before=before)


def ways_to_hide(
    solid: set[Cell],
    eye: NDArray[np.float64],
    box: NDArray[np.float64],
    reach: float,
    obstacles: Sequence[Obstacle] = (),
    apart: float = 0.7,
) -> Iterator[list[NDArray[np.float64]]]:
    """Yields ways, the shortest first, to places from which known cells stand before every point of a box.

    Args:
        solid: Known cells.
        eye: (3,) metres, where the body is.
        box: (N, 3) points of what is to be hidden, its centre first.
        reach: Metres to walk at most.
        obstacles: What else the body cannot pass.
        apart: Metres between the places.
    """
    before = float(np.ptp(box, axis=0).max()) + COVER + 0.1
    ground, places = explore_ground(solid, eye, reach, obstacles), list[NDArray[np.float64]]()
    for x, z in ground.nodes():
        place = ground.place(x, z)
        near = any(np.linalg.norm(place - other) < apart for other in places)
        if near or ground.metres[x, z] < 0.75 or math.hypot(*(place - box[0])[[0, 2]]) < 1.5:
            continue
        if all(is_blocked(solid, place, point, before) for point in box):
            places.append(place)
            yield ground.way(x, z)


def _shortest(
    free: NDArray[np.bool_], start: tuple[int, int], reach: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Dijkstra's algorithm over eight neighbours; a corner is not cut between two that are taken."""
    size = len(free)
    metres, before = np.full(free.shape, np.inf), np.full(free.shape, -1, np.int64)
    metres[start] = 0.0
    queue = [(0.0, start)]
    while queue:
        gone, (x, z) = heapq.heappop(queue)
        if gone > metres[x, z]:
            continue
        for dx, dz in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            i, k = x + dx, z + dz
            if not (0 <= i < size and 0 <= k < size and free[i, k] and free[i, z] and free[x, k]):
                continue
            there = gone + _STEP * math.hypot(dx, dz)
            if there < metres[i, k] and there <= reach:
                metres[i, k], before[i, k] = there, x * size + z
                heapq.heappush(queue, (there, (i, k)))
    return metres, before
