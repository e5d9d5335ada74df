"""Things that are built into the grid: trees, walls, pillars, huts. Each changes `cells` (X, Z, Y) in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import AIR, LIQUID, REPLACEABLE, cell_id

_Cells = NDArray[np.uint8]


def surface(cells: _Cells, x: int, z: int) -> int:
    """One above the highest cell of a column that is not replaceable (air, plants, water)."""
    filled = np.flatnonzero(~REPLACEABLE[cells[x, z]])
    return int(filled[-1]) + 1 if len(filled) else 0


def fill(cells: _Cells, corner: tuple[int, int, int], size: tuple[int, int, int], kind: str | int) -> None:
    """A cuboid of cells from `corner` (x, y, z), cut at the edge of the grid."""
    (x, y, z), (w, h, d) = corner, size
    value = cell_id(kind) if isinstance(kind, str) else kind
    cells[max(x, 0) : max(x + w, 0), max(z, 0) : max(z + d, 0), max(y, 0) : max(y + h, 0)] = value


def _grow(cells: _Cells, x: int, y: int, z: int, kind: int) -> None:
    inside = 0 <= x < cells.shape[0] and 0 <= z < cells.shape[1] and 0 < y < cells.shape[2]
    if inside and REPLACEABLE[cells[x, z, y]]:
        cells[x, z, y] = kind


def tree(cells: _Cells, rng: np.random.Generator, x: int, y: int, z: int, wood: str = "oak") -> None:
    """A tree that stands on height y: "oak" and "birch" with a round, ragged crown, "spruce" with a cone."""
    leaves, log = cell_id(f"{wood}_leaves"), cell_id(f"{wood}_log")
    trunk = int(rng.integers(5, 8)) if wood == "spruce" else int(rng.integers(4, 6))
    if wood == "spruce":
        for level in range(2, trunk + 2):
            radius = 0 if level > trunk else (1, 2)[(trunk - level) % 2] if level < trunk - 1 else 1
            for i in range(-radius, radius + 1):
                for j in range(-radius, radius + 1):
                    if abs(i) + abs(j) < 2 * radius or radius == 0:
                        _grow(cells, x + i, y + level, z + j, leaves)
    else:
        middle, wide = y + trunk - 0.5, 2.3 if wood == "oak" else 1.9
        for i in range(-3, 4):
            for j in range(-3, 4):
                for k in range(trunk - 3, trunk + 3):
                    far = (i * i + j * j) / wide**2 + ((y + k - middle) / 1.9) ** 2
                    if far < 0.75 or (far < 1.2 and rng.random() < 0.55):
                        _grow(cells, x + i, y + k, z + j, leaves)
    fill(cells, (x, y, z), (1, trunk, 1), log)


def mow(cells: _Cells, feet: tuple[float, float, float]) -> None:
    """Takes away the plants around a start, which would fill the view."""
    x, y, z = (int(q) for q in feet)
    around = cells[max(x - 2, 0) : x + 3, max(z - 2, 0) : z + 3, y : y + 2]
    around[REPLACEABLE[around] & ~LIQUID[around]] = AIR


def wall(
    cells: _Cells, x: int, y: int, z: int, kind: str, *, length: int, height: int, along_x: bool
) -> list[tuple[int, int]]:
    """A straight wall one cell thick that stands on height y; returns the columns (x, z) that it stands on."""
    fill(cells, (x, y, z), (length, height, 1) if along_x else (1, height, length), kind)
    return [(x + i, z) if along_x else (x, z + i) for i in range(length)]


def arch(cells: _Cells, x: int, y: int, z: int, kind: str, *, along_x: bool) -> list[tuple[int, int]]:
    """Two pillars two cells apart, three high, under a beam. A body can walk through."""
    ends = [(x, z), (x + 3, z) if along_x else (x, z + 3)]
    for i, j in ends:
        fill(cells, (i, y, j), (1, 2, 1), kind)
    fill(cells, (x, y + 2, z), (4, 1, 1) if along_x else (1, 1, 4), kind)
    return [(x + i, z) if along_x else (x, z + i) for i in range(4)]


def hut(
    cells: _Cells,
    corner: tuple[int, int, int],
    size: tuple[int, int],
    *,
    walls: str,
    roof: str,
    floor: str,
    facing: int,
    pillars: str = "oak_log",
) -> tuple[int, int, int]:
    """A hut with corner posts, windows, a stepped roof and a doorway; returns the lower cell of the doorway.

    Args:
        cells: The grid.
        corner: Lowest x, floor level y (where feet stand), lowest z.
        size: Outer extent in x and z, at least 5.
        walls: Kind of the walls.
        roof: Kind of the roof.
        floor: Kind under the feet.
        facing: Side of the door: quarter turns to the right from +z.
        pillars: Kind of the corner posts.
    """
    (x, y, z), (w, d) = corner, size
    fill(cells, (x - 1, y, z - 1), (w + 2, 8, d + 2), AIR)
    fill(cells, (x, y - 1, z), (w, 1, d), floor)
    fill(cells, (x, y, z), (w, 3, d), walls)
    fill(cells, (x + 1, y, z + 1), (w - 2, 3, d - 2), AIR)
    for i in (x, x + w - 1):
        for j in (z, z + d - 1):
            fill(cells, (i, y, j), (1, 3, 1), pillars)
    step = 0
    while w + 2 - 2 * step > 0 and d + 2 - 2 * step > 0:
        fill(cells, (x - 1 + step, y + 3 + step, z - 1 + step), (w + 2 - 2 * step, 1, d + 2 - 2 * step), roof)
        step += 1
    fill(cells, (x + 1, y + 3, z + 1), (w - 2, 1, d - 2), AIR)  # room under the roof, for a lamp
    middle_x, middle_z = x + w // 2, z + d // 2
    for i, j, side in ((middle_x, z + d - 1, 0), (x, middle_z, 1), (middle_x, z, 2), (x + w - 1, middle_z, 3)):
        if side == facing:
            fill(cells, (i, y, j), (1, 2, 1), AIR)
            doorway = (i, y, j)
        else:
            fill(cells, (i, y + 1, j), (1, 1, 1), "glass")
    return doorway
