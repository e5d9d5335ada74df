"""`arena`: a walled court under the open sky, about 20 x 20 m, that a small model can learn.

Few kinds, a flat floor with a visible 1 m structure, four walls of different kinds with coloured banners, four to seven
landmarks and two to four things to carry. Always day, nothing moves by itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import COLOURS, cell_id
from worldsim.envs.blocks.layout import Layout, ObjectSpec, ground
from worldsim.envs.blocks.structures import arch, fill, tree, wall
from worldsim.envs.blocks.viewpoint import viewpoint

_SIZE, _HEIGHT = 32, 16
_FLOOR = 4  # where feet stand
_INSIDE = (6, 26)  # the court in x and z
_WALLS = ("bricks", "stone_bricks", "oak_planks", "sandstone")
_FLOORS = ("smooth_stone", "terracotta", "oak_planks", "dirt_path", "grass_block")
_WOOLS = tuple(f"{colour}_wool" for colour in COLOURS)


def arena(seed: int, rng: np.random.Generator) -> Layout:
    """The layout of a seed."""
    shape = (_SIZE, _SIZE, _HEIGHT)
    heights = np.full(shape[:2], _FLOOR, np.int64)
    cells = ground(shape, heights, np.full(shape[:2], cell_id("grass_block"), np.uint8))
    _floor_and_walls(cells, rng)
    free = np.zeros(shape[:2], bool)
    free[_INSIDE[0] + 1 : _INSIDE[1] - 1, _INSIDE[0] + 1 : _INSIDE[1] - 1] = True
    _landmarks(cells, free, rng)
    objects = _things(free, rng)
    spots = np.argwhere(free)
    spots = np.stack([spots[:, 0], np.full(len(spots), _FLOOR), spots[:, 1]], axis=1)
    spawn, yaw = viewpoint(cells, spots, objects, rng, far=7.0, draws=40)
    cells.setflags(write=False)
    return Layout(
        preset="arena",
        seed=seed,
        cells=cells,
        spawn=spawn,
        yaw=yaw,
        hour=round(float(rng.uniform(10, 14)), 2),
        objects=objects,
        horizon=(float(_FLOOR), cell_id("grass_block")),
    )


def _floor_and_walls(cells: NDArray[np.uint8], rng: np.random.Generator) -> None:
    low, high = _INSIDE
    span = high - low
    floors = rng.permutation(_FLOORS)
    fill(cells, (low, _FLOOR - 1, low), (span, 1, span), str(floors[0]))
    for i in range(4):
        w, d = (int(q) for q in rng.integers(3, 8, 2))
        x, z = (int(rng.integers(low, high - q)) for q in (w, d))
        fill(cells, (x, _FLOOR - 1, z), (w, 1, d), str(floors[1 + i % 2]))
    kinds = [str(kind) for kind in rng.permutation(_WALLS)]
    sides = (
        ((low - 1, low - 1), True),
        ((low - 1, high), True),
        ((low - 1, low - 1), False),
        ((high, low - 1), False),
    )
    banners = rng.permutation((*_WOOLS, "orange_wool", "cyan_wool"))
    for side, ((x, z), along_x) in enumerate(sides):
        wall(cells, x, _FLOOR, z, kinds[side], length=span + 2, height=3, along_x=along_x)
        for i in range(2):  # two coloured banners a side, no colour twice
            at = int(rng.integers(2 + i * 10, 9 + i * 10))
            fill(
                cells,
                (x + at, _FLOOR, z) if along_x else (x, _FLOOR, z + at),
                (2, 3, 1) if along_x else (1, 3, 2),
                str(banners[2 * side + i]),
            )
    for _ in range(int(rng.integers(3, 6))):  # trees outside look over the wall
        along, out = int(rng.integers(3, 29)), int(rng.choice([2, 29]))
        x, z = (along, out) if rng.random() < 0.5 else (out, along)
        tree(cells, rng, x, _FLOOR, z, str(rng.choice(["oak", "birch", "spruce"])))


def _landmarks(cells: NDArray[np.uint8], free: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Four to seven, the first always a wall that hides what is behind it; no two of one colour."""
    colours = [str(colour) for colour in rng.permutation(_WOOLS)]
    plan = ["screen", *(str(k) for k in rng.choice(["pillar", "pillar", "block", "low", "screen", "arch"], 6))]
    for name in plan[: int(rng.integers(4, 8))]:
        along_x, length = bool(rng.random() < 0.5), int(rng.integers(3, 6))
        size = {"pillar": (1, 1), "block": (2, 2), "arch": (4, 1)}.get(name, (length, 1))
        w, d = size if along_x else size[::-1]
        spot = _spot(free, rng, w, d, margin=2)
        if spot is None:
            continue
        x, z = spot
        colour = colours.pop() if colours else "orange_wool"
        if name == "pillar":
            fill(cells, (x, _FLOOR, z), (1, int(rng.integers(3, 5)), 1), colour)
        elif name == "block":
            fill(cells, (x, _FLOOR, z), (2, int(rng.integers(1, 3)), 2), colour)
        elif name == "arch":
            arch(cells, x, _FLOOR, z, colour, along_x=along_x)
        else:
            high = 1 if name == "low" else 2
            kind = colour if name == "low" else str(rng.choice(["cobblestone", "bricks", "spruce_planks"]))
            wall(cells, x, _FLOOR, z, kind, length=length, height=high, along_x=along_x)
            if high == 2:  # a coloured end tells its two ends apart
                fill(cells, (x, _FLOOR, z), (1, 2, 1), colour)
        free[max(x - 1, 0) : x + w + 1, max(z - 1, 0) : z + d + 1] = False


def _spot(free: NDArray[np.bool_], rng: np.random.Generator, w: int, d: int, margin: int) -> tuple[int, int] | None:
    """A corner of a free w x d rectangle with a free margin around it, or None after many tries."""
    for _ in range(200):
        x, z = (int(q) for q in rng.integers(_INSIDE[0], _INSIDE[1], 2))
        if free[x - margin : x + w + margin, z - margin : z + d + margin].all() and x + w + 1 < free.shape[0]:
            return x, z
    return None


def _things(free: NDArray[np.bool_], rng: np.random.Generator) -> tuple[ObjectSpec, ...]:
    """Two to four chests, crates and gems, each of its own colour."""
    out = []
    kinds = ["chest", str(rng.choice(["crate", "gem"])), *(str(k) for k in rng.choice(["chest", "crate", "gem"], 2))]
    colours = [str(colour) for colour in rng.permutation(COLOURS)]
    for kind, colour in list(zip(kinds, colours, strict=False))[: int(rng.integers(2, 5))]:
        spot = _spot(free, rng, 1, 1, margin=1)
        if spot is not None:
            x, z = spot
            facing = int(rng.integers(4))
            out.append(ObjectSpec(kind=kind, colour=colour, facing=facing, position=(x + 0.5, float(_FLOOR), z + 0.5)))
            free[x - 1 : x + 2, z - 1 : z + 2] = False
    return tuple(out)
