"""`open`: an island of 64 x 64 m with meadow, forest, desert, snow and lakes, cliffs with caves, ruins and animals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import AIR, COLOURS, REPLACEABLE, SOLID, cell_id
from worldsim.envs.blocks.layout import Layout, ObjectSpec, ground
from worldsim.envs.blocks.structures import arch, fill, mow, surface, tree, wall
from worldsim.envs.blocks.terrain import level_spot, rim_distance, smooth_noise
from worldsim.envs.blocks.viewpoint import viewpoint

_SIZE, _HEIGHT = 64, 32
_SEA = 9  # water fills cells below this height
_MEADOW, _FOREST, _DESERT, _SNOW = range(4)


def open_land(seed: int, rng: np.random.Generator) -> Layout:
    """The layout of a seed."""
    flat = (_SIZE, _SIZE)
    rim = rim_distance(flat)
    heights = _heights(rng, rim)
    biome = _biomes(rng)
    top = np.select(
        [heights <= _SEA + 1, biome == _DESERT, biome == _SNOW],
        [cell_id("sand"), cell_id("sand"), cell_id("snow_block")],
        cell_id("grass_block"),
    ).astype(np.uint8)
    steep = np.maximum(abs(np.gradient(heights.astype(float))[0]), abs(np.gradient(heights.astype(float))[1])) > 1.4
    top[steep & (heights > _SEA + 1)] = cell_id("stone")
    cells = ground((*flat, _HEIGHT), heights, top)
    _caves(cells, heights, rng)
    sea = cells[:, :, 1:_SEA]
    sea[(sea == AIR) & (np.arange(1, _SEA) >= heights[..., None])] = cell_id("water")
    frozen = (biome == _SNOW) & (cells[:, :, _SEA - 1] == cell_id("water")) & (rim < 0.75)
    cells[:, :, _SEA - 1][frozen] = cell_id("ice")

    heights = np.array([[surface(cells, x, z) for z in range(_SIZE)] for x in range(_SIZE)], np.int64)
    free = (heights > _SEA) & (rim < 0.92)
    _landmarks(cells, heights, free, rng)
    _plants(cells, heights, biome, free, rng)
    objects = _things(cells, heights, free, rng)
    spots = np.argwhere(free & (rim < 0.7) & (_roughness(heights) <= 1))
    if not len(spots):
        spots = np.argwhere(rim < 0.3)
    spots = np.stack([spots[:, 0], heights[spots[:, 0], spots[:, 1]], spots[:, 1]], axis=1)
    spawn, yaw = viewpoint(cells, spots, objects, rng, far=18.0, draws=48)
    mow(cells, spawn)
    cells.setflags(write=False)
    return Layout(
        preset="open",
        seed=seed,
        cells=cells,
        spawn=spawn,
        yaw=yaw,
        hour=round(float(rng.uniform(8, 16)), 2),
        objects=objects,
        horizon=(_SEA - 0.125, cell_id("water")),
    )


def _heights(rng: np.random.Generator, rim: NDArray[np.float64]) -> NDArray[np.int64]:
    """(X, Z) cells of ground: rolling land, lakes, one or two mesas with cliffs, all round the sea."""
    flat = rim.shape
    height = _SEA + 2.4 + 3.0 * smooth_noise(rng, flat, 4) + 1.6 * smooth_noise(rng, flat, 9)
    mesa = smooth_noise(rng, flat, 5)
    height += 6.0 * np.clip((mesa - 0.38) / 0.12, 0, 1)  # a steep edge: cliffs
    height -= 10.0 * np.clip((rim - 0.76) / 0.24, 0, 1)
    return np.clip(np.round(height), 4, _HEIGHT - 10).astype(np.int64)


def _biomes(rng: np.random.Generator) -> NDArray[np.int64]:
    """(X, Z): which biome, from heat and moisture ranked within the world, so that each world has all four."""
    heat, wet = (smooth_noise(rng, (_SIZE, _SIZE), 3) for _ in range(2))
    hot, cold = np.quantile(heat, 0.74), np.quantile(heat, 0.24)
    moist = np.quantile(wet, 0.5)
    return np.select([heat > hot, heat < cold, wet > moist], [_DESERT, _SNOW, _FOREST], _MEADOW)


def _roughness(heights: NDArray[np.int64]) -> NDArray[np.int64]:
    """(X, Z): the largest step to one of the four neighbours."""
    padded = np.pad(heights, 1, mode="edge")
    sides = (padded[2:, 1:-1], padded[:-2, 1:-1], padded[1:-1, 2:], padded[1:-1, :-2])
    return np.asarray(np.max([abs(side - heights) for side in sides], axis=0))


def _caves(cells: NDArray[np.uint8], heights: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Tunnels through the higher ground: two height fields give the floor and the roof of what is carved."""
    flat = heights.shape
    for _ in range(2):
        path = abs(smooth_noise(rng, flat, 5)) < 0.2
        floor = np.round(_SEA + 0.8 + 1.0 * smooth_noise(rng, flat, 4)).astype(np.int64)
        y = np.arange(cells.shape[2])[None, None, :]
        roofed = heights >= _SEA + 5
        carve = (path & roofed)[..., None] & (y >= floor[..., None]) & (y < floor[..., None] + 3) & (y >= _SEA)
        cells[carve & (y < heights[..., None] - 1)] = AIR
    # sand above a tunnel would fall: its lowest layer is sandstone
    loose = (cells[:, :, 1:] == cell_id("sand")) & (cells[:, :, :-1] == AIR)
    cells[:, :, 1:][loose] = cell_id("sandstone")


def _landmarks(
    cells: NDArray[np.uint8], heights: NDArray[np.int64], free: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Pillars in unlike colours, ruined walls and arches."""
    colours = [f"{colour}_wool" for colour in rng.permutation([*COLOURS, "orange", "cyan"])]
    for name in ("pillar", "ruin", "pillar", "arch", "pillar", "ruin", "pillar", "ruin", "arch", "pillar"):
        reach = 1 if name == "pillar" else 4
        spot = level_spot(heights, free, rng, reach=reach, flat=1 if name == "pillar" else 2)
        if spot is None:
            continue
        x, z = spot
        y = int(heights[x, z])
        if name == "pillar":
            tall = int(rng.integers(3, 7))
            fill(cells, (x, y, z), (1, tall, 1), colours.pop())
            if rng.random() < 0.5:
                fill(cells, (x, y + tall - 1, z), (1, 1, 1), "glowstone")
        elif name == "arch":
            arch(cells, x - 1, y, z, str(rng.choice(["stone_bricks", "sandstone", "bricks"])), along_x=True)
        else:
            kind = str(rng.choice(["mossy_cobblestone", "stone_bricks", "bricks"]))
            for along_x in (True, False):
                length = int(rng.integers(4, 6))
                for i in range(length):  # crumbled: lower towards the end
                    p, q = (x - 2 + i, z - 2) if along_x else (x - 2, z - 2 + i)
                    top = max(1, 3 - int(i * rng.uniform(0.3, 1.0)))
                    base = int(heights[p, q])
                    wall(cells, p, base, q, kind, length=1, height=top, along_x=True)
        free[max(x - reach, 0) : x + reach + 1, max(z - reach, 0) : z + reach + 1] = False


def _plants(
    cells: NDArray[np.uint8],
    heights: NDArray[np.int64],
    biome: NDArray[np.int64],
    free: NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """Trees and small plants, after the biome."""
    for kind, wood, count in (
        (_FOREST, "oak", 16),
        (_FOREST, "birch", 7),
        (_SNOW, "spruce", 9),
        (_MEADOW, "oak", 3),
        (_DESERT, "", 8),
    ):
        for _ in range(count):
            spot = level_spot(heights, free & (biome == kind), rng, reach=1, flat=1, tries=80)
            if spot is None:
                continue
            x, z = spot
            if wood:
                tree(cells, rng, x, int(heights[x, z]), z, wood)
            else:
                fill(cells, (x, int(heights[x, z]), z), (1, int(rng.integers(2, 4)), 1), "cactus")
            free[x - 1 : x + 2, z - 1 : z + 2] = False
    green = [cell_id(name) for name in ("short_grass", "short_grass", "poppy", "dandelion", "cornflower")]
    for x, z in np.argwhere(free & (rng.random(free.shape) < 0.09)):
        y = int(heights[x, z])
        below, here = cells[x, z, y - 1], cells[x, z, y]
        if here != AIR:
            continue
        if below == cell_id("grass_block"):
            cells[x, z, y] = green[int(rng.integers(len(green)))]
        elif below == cell_id("sand") and biome[x, z] == _DESERT and rng.random() < 0.4:
            cells[x, z, y] = cell_id("dead_bush")


def _things(
    cells: NDArray[np.uint8], heights: NDArray[np.int64], free: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[ObjectSpec, ...]:
    """Chests, crates and gems, each of its own colour, and animals."""
    out: list[ObjectSpec] = []
    kinds = ["chest", "crate", "gem", "chest", "crate", "gem"]
    things = list(zip(kinds, (str(colour) for colour in rng.permutation(COLOURS)), strict=True))
    things += [(str(kind), "") for kind in rng.choice(["sheep", "pig"], int(rng.integers(4, 7)))]
    for kind, colour in things:
        spot = level_spot(heights, free, rng, reach=1, flat=0)
        if spot is None:
            continue
        x, z = spot
        y = int(heights[x, z])
        room = cells[x - 1 : x + 2, z - 1 : z + 2, y : y + 2]
        if SOLID[room].any():
            continue
        room[REPLACEABLE[room]] = AIR
        place = (x + 0.5, float(y), z + 0.5)
        out.append(ObjectSpec(kind=kind, colour=colour, position=place, facing=int(rng.integers(4))))
        free[x - 1 : x + 2, z - 1 : z + 2] = False
    return tuple(out)
