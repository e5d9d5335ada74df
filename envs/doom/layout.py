"""The plan of a world, drawn from its seed: four rooms in a ring, doors between them, and what stands in them.

Everything lies on a grid of cells of one metre. Two of the four walls between the rooms have, beside an open passage, a
door, a gate or a door that a switch far from it opens, so that there are loops with and without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worldsim import seeding
from worldsim.envs.doom.kinds import COLOURS, SHAPES
from worldsim.errors import UnknownNameError, nearest

SIZE: Final = 19  # cells along a side: wall, 8, wall, 8, wall
HEIGHT: Final = 3.0  # metres from floor to ceiling
ROOMS: Final = ((1, 1), (10, 1), (1, 10), (10, 10))  # the first cell (x, z) of each room
ROOM: Final = 8  # cells along its side
PRESETS: Final = ("rooms", "arena", "navigate")
SWITCH_OFF, SWITCH_ON, DOOR, SHUTTER, GATE = "WSSWOFF", "WSSWON", "WSDOOR", "WSSHUTTR", "WSGATE"

_WALLS: Final = ("STARTAN3", "BROWN1", "STONE2", "STONE3", "GRAY1", "WOOD1", "MARBLE1", "BIGBRIK1", "BRICK7", "GRAY7")
_FLOORS: Final = ("FLOOR4_8", "FLOOR0_1", "FLOOR5_1", "FLOOR7_1", "FLAT5_4", "RROCK03", "FLAT14", "MFLR8_1")
_CEILINGS: Final = ("CEIL3_5", "CEIL5_1", "FLAT19", "FLAT1", "FLOOR6_2")


@dataclass(frozen=True, kw_only=True)
class Sector:
    """A region of the plan: textures of its walls, floor and ceiling, light 0..255, tag (0 = none), open or shut."""

    wall: str
    floor: str
    ceiling: str
    light: int
    tag: int = 0
    shut: bool = False


@dataclass(frozen=True, kw_only=True)
class Door:
    """A door in a wall: a sector whose ceiling goes up.

    Attributes:
        id: Instance id.
        kind: "door" (used by hand), "shutter" (by its switch), "gate" (goes up by itself, slowly, once started).
        sector: Its index; its tag is one more than its place in `Layout.doors`.
        cells: The cells (x, z) it fills.
    """

    id: int
    kind: str
    sector: int
    cells: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A switch on a wall: the solid cell (x, z) that bears it, the cell in front of it, and the tag of its door."""

    id: int
    cell: tuple[int, int]
    front: tuple[int, int]
    door: int


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that stands on the floor at (x, z) metres."""

    id: int
    kind: str
    place: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A world before its first moment.

    Attributes:
        cells: (SIZE, SIZE) int32, [x, z]: index of the sector, -1 = solid.
        sectors: See `Sector`.
        doors, switches, things: With instance ids 1, 2, ... in this order.
        start: (x, z) metres of the player.
        yaw: Degrees.
    """

    cells: NDArray[np.int32]
    sectors: tuple[Sector, ...]
    doors: tuple[Door, ...]
    switches: tuple[Switch, ...]
    things: tuple[Thing, ...]
    start: tuple[float, float]
    yaw: float


@dataclass(kw_only=True)
class _Plan:
    """A layout in the making."""

    rng: np.random.Generator
    cells: NDArray[np.int32] = field(default_factory=lambda: np.full((SIZE, SIZE), -1, np.int32))
    sectors: list[Sector] = field(default_factory=list)
    doors: list[Door] = field(default_factory=list)
    taken: list[tuple[float, float]] = field(default_factory=list)  # places that keep a distance from each other


def generate(preset: str, seed: int) -> Layout:
    """The layout of a seed.

    Args:
        preset: "rooms"; "arena": props in the first room, the others are empty; "navigate": the same and, last of all
            things, a chest a few metres from the start, which is the goal of a task.
        seed: Of the world.

    Raises:
        UnknownNameError: For a preset that does not exist.
    """
    if preset not in PRESETS:
        raise UnknownNameError(f"Doom has no preset {preset!r}.{nearest(preset, PRESETS)} Known: {', '.join(PRESETS)}.")
    plan = _Plan(rng=seeding.generator("doom", preset, seed))
    _rooms(plan)
    _openings(plan)
    switch = _switch(plan, len(plan.doors) + 1)
    _pillars(plan)
    start = _free(plan, 0, margin=2.0)
    plan.taken.append(start)
    things = _things(plan, preset, first=len(plan.doors) + 2)
    return Layout(
        cells=plan.cells,
        sectors=tuple(plan.sectors),
        doors=tuple(plan.doors),
        switches=(switch,),
        things=things,
        start=start,
        yaw=float(plan.rng.integers(-180, 180)),
    )


def _rooms(plan: _Plan) -> None:
    rng = plan.rng
    walls, floors = rng.permutation(len(_WALLS)), rng.permutation(len(_FLOORS))
    for i, (x, z) in enumerate(ROOMS):
        plan.cells[x : x + ROOM, z : z + ROOM] = len(plan.sectors)
        plan.sectors.append(
            Sector(
                wall=_WALLS[walls[i]],
                floor=_FLOORS[floors[i]],
                ceiling=_CEILINGS[int(rng.integers(len(_CEILINGS)))],
                light=int(rng.integers(176, 240)),
            )
        )


def _openings(plan: _Plan) -> None:
    """Each of the four walls gets an open passage; three of them a door as well, those of the first room always."""
    # (rooms, the wall's constant coordinate, whether it is a column of constant x, where it begins)
    walls = ((0, 1, 9, True, 1), (0, 2, 9, False, 1), (1, 3, 9, False, 10), (2, 3, 9, True, 10))
    mine = list(plan.rng.permutation(["door", "gate"]))
    far = 2 + int(plan.rng.integers(2))
    for i, (one, _, at, column, first) in enumerate(walls):
        low, high = first + int(plan.rng.integers(0, 2)), first + ROOM - 3 + int(plan.rng.integers(0, 2))
        spots = [low, high] if plan.rng.random() < 0.5 else [high, low]
        cut = [_cells(at, spot, column) for spot in spots]
        _cut(plan, cut[0], one, "", column)
        kind = mine[i] if i < 2 else "shutter" if i == far else ""
        if kind:
            _cut(plan, cut[1], one, str(kind), column)


def _cells(at: int, along: int, column: bool) -> tuple[tuple[int, int], ...]:
    return tuple((at, along + k) if column else (along + k, at) for k in (0, 1))


def _cut(plan: _Plan, cells: tuple[tuple[int, int], ...], room: int, kind: str, column: bool) -> None:
    texture = {"": plan.sectors[room].wall, "door": DOOR, "gate": GATE, "shutter": SHUTTER}[kind]
    tag = len(plan.doors) + 1 if kind else 0
    for cell in cells:
        plan.cells[cell] = len(plan.sectors)
    if kind:
        plan.doors.append(Door(id=tag, kind=kind, sector=len(plan.sectors), cells=cells))
    plan.sectors.append(Sector(wall=texture, floor="FLOOR7_1", ceiling="FLAT1", light=200, tag=tag, shut=bool(kind)))
    for cell in cells:  # keep the way free on both sides
        for side in (-1.5, 1.5):
            x, z = cell[0] + 0.5 + (side if column else 0.0), cell[1] + 0.5 + (0.0 if column else side)
            plan.taken.append((x, z))


def _switch(plan: _Plan, number: int) -> Switch:
    """On an outer wall of the first room, away from the corners."""
    along = int(plan.rng.integers(3, 7))
    cell, front = ((0, along), (1, along)) if plan.rng.random() < 0.5 else ((along, 0), (along, 1))
    plan.taken.append((front[0] + 0.5, front[1] + 0.5))
    door = next(tag for tag, door in enumerate(plan.doors, 1) if door.kind == "shutter")
    return Switch(id=number, cell=cell, front=front, door=door)


def _pillars(plan: _Plan) -> None:
    """One solid cell in each room to hide things behind, two in some."""
    for room in range(len(ROOMS)):
        for _ in range(1 + int(plan.rng.random() < 0.4)):
            x, z = _free(plan, room, margin=2.0, apart=1.6)
            cell = int(x), int(z)
            plan.cells[cell] = -1
            plan.taken.append((cell[0] + 0.5, cell[1] + 0.5))


def _things(plan: _Plan, preset: str, first: int) -> tuple[Thing, ...]:
    rng = plan.rng
    out: list[Thing] = []
    colours, shapes = list(COLOURS), list(SHAPES)
    for room in range(len(ROOMS)):
        if preset != "rooms" and room:
            break
        picked = rng.permutation(len(colours))[: 4 if room == 0 else 2]
        wanted = [f"{colours[c]}_{shapes[int(rng.integers(len(shapes)))]}" for c in picked]
        if preset == "rooms":
            wanted.append(str(rng.choice(["clip", "shells", "stimpack"])))
            wanted.append("zombie" if room == 1 else "corpse" if room == 2 else "clip")
        for kind in wanted:
            place = _free(plan, room, margin=0.9, apart=1.4)
            plan.taken.append(place)
            out.append(Thing(id=first + len(out), kind=kind, place=place))
    if preset == "navigate":
        used = {thing.kind for thing in out}
        kind = next(f"{colour}_chest" for colour in rng.permutation(colours) if f"{colour}_chest" not in used)
        out.append(Thing(id=first + len(out), kind=kind, place=_free(plan, 0, margin=0.9, apart=2.5)))
    return tuple(out)


def _free(plan: _Plan, room: int, *, margin: float, apart: float = 1.5) -> tuple[float, float]:
    """A place in a room, `margin` metres from its walls and, if it can be, `apart` from all that is taken."""
    x0, z0 = ROOMS[room]
    best, place = -1.0, (x0 + 4.5, z0 + 4.5)
    for _ in range(60):
        # Sixteenths of a metre at most: such places are exact in the engine's numbers as in ours.
        x, z = (float(np.round(16 * v) / 16) for v in plan.rng.uniform(margin, ROOM - margin, 2))
        x, z = x0 + x, z0 + z
        if plan.cells[int(x), int(z)] != room:
            continue
        gap = min((float(np.hypot(x - a, z - b)) for a, b in plan.taken), default=99.0)
        if gap > best:
            best, place = gap, (x, z)
        if gap >= apart:
            break
    return place
