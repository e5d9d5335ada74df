"""`village`: huts with rooms, doors and lamps, levers that light them from elsewhere, a well, crops, animals.

Causes and effects are out of sight of each other, and things go on unseen: crops grow, a column of sand comes down, a
spring opens, animals walk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import AIR, COLOURS, CROPS, REPLACEABLE, SOLID, cell_id
from worldsim.envs.blocks.layout import Cell, Layout, ObjectSpec, ground
from worldsim.envs.blocks.structures import fill, hut, mow, surface, tree, wall
from worldsim.envs.blocks.terrain import level_spot, rim_distance, smooth_noise
from worldsim.envs.blocks.viewpoint import viewpoint

_SIZE, _HEIGHT = 56, 24
_BASE = 6  # where feet stand in the village
_STYLES = (  # walls, roof, floor, corner posts
    ("oak_planks", "spruce_planks", "oak_planks", "oak_log"),
    ("cobblestone", "oak_planks", "spruce_planks", "oak_log"),
    ("bricks", "spruce_planks", "oak_planks", "spruce_log"),
    ("sandstone", "bricks", "smooth_stone", "birch_log"),
    ("white_wool", "terracotta", "oak_planks", "spruce_log"),
)
_OUT = ((0, 1), (-1, 0), (0, -1), (1, 0))  # (x, z) of a facing: quarter turns to the right from +z
_LATEST = 400  # steps (20 s) until the last thing that waits has happened


@dataclass
class _Plan:
    """What has been built so far; `free` (X, Z) are columns where nothing stands."""

    cells: NDArray[np.uint8]
    heights: NDArray[np.int64]
    free: NDArray[np.bool_]
    middle: tuple[int, int]
    rng: np.random.Generator
    objects: list[ObjectSpec] = field(default_factory=list)
    crops: list[Cell] = field(default_factory=list)

    def add(
        self,
        kind: str,
        cell: tuple[float, float, float],
        colour: str = "",
        facing: int = 0,
        attributes: Mapping[str, Any] | None = None,
    ) -> int:
        """An object in the middle of a column; returns its index."""
        x, y, z = cell
        place = (x + 0.5, float(y), z + 0.5)
        self.objects.append(
            ObjectSpec(kind=kind, position=place, colour=colour, facing=facing, attributes=attributes or {})
        )
        return len(self.objects) - 1

    def take(self, x: int, z: int, w: int, d: int, margin: int) -> None:
        """Marks a rectangle and its margin as built upon."""
        self.free[max(x - margin, 0) : x + w + margin, max(z - margin, 0) : z + d + margin] = False


def village(seed: int, rng: np.random.Generator) -> Layout:
    """The layout of a seed."""
    flat = (_SIZE, _SIZE)
    rim = rim_distance(flat)
    hills = np.clip(2.0 + 3.5 * smooth_noise(rng, flat, 5), 0, 5) * np.clip(1 - abs(rim - 0.88) / 0.12, 0, 1)
    heights = (_BASE + np.round(hills)).astype(np.int64)
    cells = ground((*flat, _HEIGHT), heights, np.full(flat, cell_id("grass_block"), np.uint8))
    middle = (_SIZE // 2 + int(rng.integers(-2, 3)), _SIZE // 2 + int(rng.integers(-2, 3)))
    plan = _Plan(cells=cells, heights=heights, free=np.ones(flat, bool), middle=middle, rng=rng)
    _well(plan)
    order = [int(side) for side in rng.permutation(4)]  # which side of the well is whose
    doors = [_home(plan, n, order[n], style) for n, style in enumerate(rng.permutation(len(_STYLES))[:3])]
    _field(plan, order[3])
    for n, (door, facing, _) in enumerate(doors):  # the lever at one hut lights the lamp in the next
        side = _OUT[(facing + 1) % 4]
        at = (door[0] + side[0] + _OUT[facing][0], _BASE + 1.0, door[2] + side[1] + _OUT[facing][1])
        lamp = doors[(n + 1) % len(doors)][2]
        plan.add("lever", at, facing=facing, attributes={"on": False, "linked_to": lamp})
    sand, springs = _waiting(plan)
    _nature(plan, rim)
    _animals(plan)
    near = rim < 0.5
    spots = np.argwhere(plan.free & near & (heights == _BASE))
    spots = np.stack([spots[:, 0], np.full(len(spots), _BASE), spots[:, 1]], axis=1)
    spawn, yaw = viewpoint(cells, spots, plan.objects, rng, far=16.0, draws=40)
    mow(cells, spawn)
    cells.setflags(write=False)
    return Layout(
        preset="village",
        seed=seed,
        cells=cells,
        spawn=spawn,
        yaw=yaw,
        hour=round(float(rng.uniform(8, 16)), 2),
        objects=tuple(plan.objects),
        crops=tuple(plan.crops),
        sand=sand,
        springs=springs,
        horizon=(float(_BASE), cell_id("grass_block")),
    )


def _well(plan: _Plan) -> None:
    x, z = plan.middle
    fill(plan.cells, (x - 3, _BASE - 1, z - 3), (7, 1, 7), "dirt_path")
    fill(plan.cells, (x - 1, 2, z - 1), (3, _BASE - 1, 3), "mossy_cobblestone")
    fill(plan.cells, (x, 2, z), (1, _BASE - 2, 1), "water")
    fill(plan.cells, (x, _BASE, z), (1, 1, 1), "water")
    for i, j in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        fill(plan.cells, (x + i, _BASE + 1, z + j), (1, 2, 1), "spruce_log")
    fill(plan.cells, (x - 1, _BASE + 3, z - 1), (3, 1, 3), "spruce_planks")
    plan.take(x - 1, z - 1, 3, 3, 1)


def _home(plan: _Plan, n: int, side: int, style: int) -> tuple[Cell, int, int]:
    """A hut on one side of the well whose door looks at it: (lower cell of the doorway, facing, index of its lamp)."""
    rng = plan.rng
    w, d = int(rng.choice([5, 7])), int(rng.choice([5, 7]))
    x = plan.middle[0] + _OUT[side][0] * 12 + int(rng.integers(-3, 4)) - w // 2
    z = plan.middle[1] + _OUT[side][1] * 12 + int(rng.integers(-3, 4)) - d // 2
    facing = (side + 2) % 4
    walls, roof, floor, posts = _STYLES[style]
    door = hut(plan.cells, (x, _BASE, z), (w, d), walls=walls, roof=roof, floor=floor, facing=facing, pillars=posts)
    plan.take(x, z, w, d, 2)
    plan.add("door", (door[0], _BASE, door[2]), facing=facing, attributes={"open": bool(n == 0)})
    middle_x, middle_z = x + w // 2, z + d // 2
    lamp = plan.add("lamp", (middle_x, _BASE + 2.4, middle_z), attributes={"lit": False})
    back = (middle_x - _OUT[facing][0] * (w // 2 - 1), middle_z - _OUT[facing][1] * (d // 2 - 1))
    colour = COLOURS[(n + int(rng.integers(2)) * 3) % len(COLOURS)]
    plan.add("chest", (back[0], _BASE, back[1]), colour=colour, facing=facing, attributes={"open": False})
    corner = (x + 1, z + 1) if facing in (0, 3) else (x + w - 2, z + d - 2)
    fill(plan.cells, (corner[0], _BASE, corner[1]), (1, 2, 1), ("bookshelf", "hay_block", "bookshelf")[n])
    _path(plan, door[0] + _OUT[facing][0], door[2] + _OUT[facing][1])
    return door, facing, lamp


def _path(plan: _Plan, x: int, z: int) -> None:
    """Trodden earth from a door to the well, always along the longer way."""
    end = plan.middle
    while max(abs(x - end[0]), abs(z - end[1])) > 3:
        if plan.cells[x, z, _BASE - 1] == cell_id("grass_block"):
            plan.cells[x, z, _BASE - 1] = cell_id("dirt_path")
        plan.take(x, z, 1, 1, 0)
        if abs(x - end[0]) >= abs(z - end[1]):
            x += int(np.sign(end[0] - x))
        else:
            z += int(np.sign(end[1] - z))


def _field(plan: _Plan, side: int) -> None:
    """Wheat in rows on both sides of a ditch, at every stage, inside a low border."""
    x = plan.middle[0] + _OUT[side][0] * 11 - 4
    z = plan.middle[1] + _OUT[side][1] * 11 - 3
    fill(plan.cells, (x, _BASE - 1, z), (9, 1, 7), "oak_log")
    fill(plan.cells, (x + 1, _BASE - 1, z + 1), (7, 1, 5), "farmland")
    fill(plan.cells, (x + 1, _BASE - 1, z + 3), (7, 1, 1), "water")
    for i in range(x + 1, x + 8):
        for j in (z + 1, z + 2, z + 4, z + 5):
            plan.cells[i, j, _BASE] = CROPS[int(plan.rng.integers(3))]
            plan.crops.append((i, _BASE, j))
    fill(plan.cells, (x, _BASE, z), (1, 1, 1), "hay_block")
    fill(plan.cells, (x, _BASE, z + 6), (1, 2, 1), "hay_block")
    plan.take(x, z, 9, 7, 1)


def _waiting(plan: _Plan) -> tuple[tuple[tuple[int, int, int, int], ...], tuple[tuple[int, int, int, int], ...]]:
    """Two gallows with hanging sand or gravel, and a stone out of which a spring will break."""
    sand, springs = [], []
    for kind in ("sand", "gravel"):
        spot = _free_spot(plan, reach=2)
        if spot is not None:
            x, z = spot
            for i in (x - 1, x + 1):
                fill(plan.cells, (i, _BASE, z), (1, 7, 1), "spruce_log")
            fill(plan.cells, (x - 1, _BASE + 7, z), (3, 1, 1), "spruce_planks")
            fill(plan.cells, (x, _BASE + 4, z), (1, 3, 1), kind)
            due = int(plan.rng.integers(60, _LATEST))
            sand += [(x, _BASE + 4 + i, z, due) for i in range(3)]
            plan.take(x, z, 1, 1, 2)
    spot = _free_spot(plan, reach=3)
    if spot is not None:
        x, z = spot
        wall(plan.cells, x - 1, _BASE, z + 1, "mossy_cobblestone", length=3, height=2, along_x=True)
        fill(plan.cells, (x, _BASE, z), (1, 1, 1), "mossy_cobblestone")
        springs.append((x, _BASE + 1, z, int(plan.rng.integers(60, _LATEST))))
        plan.take(x, z, 1, 1, 3)
    return tuple(sand), tuple(springs)


def _free_spot(plan: _Plan, reach: int) -> tuple[int, int] | None:
    inner = np.zeros_like(plan.free)
    inner[8:-8, 8:-8] = True
    return level_spot(plan.heights, plan.free & inner, plan.rng, reach=reach, flat=0)


def _nature(plan: _Plan, rim: NDArray[np.float64]) -> None:
    rng = plan.rng
    for _ in range(16):
        spot = level_spot(plan.heights, plan.free & (rim > 0.45), rng, reach=2, flat=2)
        if spot is not None:
            x, z = spot
            tree(plan.cells, rng, x, surface(plan.cells, x, z), z, str(rng.choice(["oak", "oak", "birch", "spruce"])))
            plan.take(x, z, 1, 1, 1)
    plants = [cell_id(name) for name in ("short_grass", "short_grass", "poppy", "dandelion", "cornflower")]
    for x, z in np.argwhere(plan.free & (rng.random(plan.free.shape) < 0.07)):
        y = int(plan.heights[x, z])
        if plan.cells[x, z, y - 1] == cell_id("grass_block") and plan.cells[x, z, y] == AIR:
            plan.cells[x, z, y] = plants[int(rng.integers(len(plants)))]


def _animals(plan: _Plan) -> None:
    for _ in range(int(plan.rng.integers(4, 7))):
        spot = _free_spot(plan, reach=1)
        if spot is not None:
            x, z = spot
            body = plan.cells[x - 1 : x + 2, z - 1 : z + 2, _BASE : _BASE + 2]
            if not SOLID[body].any():
                body[REPLACEABLE[body]] = AIR
                plan.add(str(plan.rng.choice(["sheep", "pig"])), (x, _BASE, z), facing=int(plan.rng.integers(4)))
                plan.take(x, z, 1, 1, 1)
