"""Instances: what they are, how large, how they are drawn. Row i of a world's arrays is instance i + 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.kinds import COLOURS
from worldsim.envs.blocks.physics import (
    COLOUR,
    COLUMNS,
    EXISTS,
    FACING,
    GRAVITY,
    HEALTH,
    HELD,
    HOSTILE,
    KIND,
    LINK,
    SOLID,
    STATE,
)
from worldsim.envs.blocks.shapes import bounds, object_boxes
from worldsim.envs.blocks.state import World
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.truth import ObjectState


@dataclass(frozen=True, kw_only=True)
class Sort:
    """A sort of object.

    Attributes:
        name: "chest", "door", ...; with its colour in front if it has one it is the kind's name: "red_chest".
        coloured: Comes in `kinds.COLOURS`.
        solid: A body cannot be inside; False in its other state where `opens`.
        state: Name of its one attribute that can be switched, or "".
        carried: Can be picked up (a chest while sneaking, for `use` opens it).
        alive: Walks by itself.
        hostile: Hurts on contact.
        half_width: Metres, of creatures.
    """

    name: str
    coloured: bool = False
    solid: bool = True
    state: str = ""
    carried: bool = False
    alive: bool = False
    hostile: bool = False
    half_width: float = 0.0


SORTS: Final = (
    Sort(name="chest", coloured=True, state="open", carried=True),
    Sort(name="crate", coloured=True, carried=True),
    Sort(name="gem", coloured=True, solid=False, carried=True),
    Sort(name="door", state="open"),
    Sort(name="lever", solid=False, state="on"),
    Sort(name="lamp", state="lit"),
    Sort(name="sheep", alive=True, half_width=0.6),
    Sort(name="pig", alive=True, half_width=0.6),
    Sort(name="zombie", alive=True, hostile=True, half_width=0.4),
)
_BY_NAME: Final = {sort.name: i for i, sort in enumerate(SORTS)}
#: Names of all kinds of objects: "red_chest", "door", ...
KIND_NAMES: Final = tuple(
    name for s in SORTS for name in ([f"{c}_{s.name}" for c in COLOURS] if s.coloured else [s.name])
)


def split_kind(kind: str) -> tuple[int, int]:
    """Row of `SORTS` and of `COLOURS` (0 where it has none) of a kind such as "red_chest" or "door".

    Raises:
        UnknownNameError: With the nearest kind.
    """
    if kind not in KIND_NAMES:
        raise UnknownNameError(
            f"Blocks has no objects of kind {kind!r}.{nearest(kind, KIND_NAMES)} There are {', '.join(KIND_NAMES)}."
        )
    colour, _, name = kind.rpartition("_")
    return _BY_NAME[name], COLOURS.index(colour) if colour else 0


def kind_name(world: World, row: int) -> str:
    """The kind of an instance, for example "red_chest"."""
    sort = SORTS[world.table[row, KIND]]
    return f"{COLOURS[world.table[row, COLOUR]]}_{sort.name}" if sort.coloured else sort.name


def add(
    world: World,
    kind: str,
    position: Any,
    *,
    facing: int = 0,
    state: bool = False,
    link: int = 0,
) -> int:
    """Adds an instance and returns its id.

    Args:
        world: Changed in place.
        kind: "red_chest", "door", ...
        position: (3,) base centre, metres.
        facing: Quarter turns to the right from +z.
        state: Open, on or lit.
        link: Id of the instance that a lever switches, or 0.
    """
    sort_row, colour = split_kind(kind)
    row = np.zeros((1, COLUMNS), np.int64)
    row[0, [KIND, COLOUR, FACING, STATE, EXISTS, LINK]] = sort_row, colour, facing % 4, int(state), 1, link
    world.table = np.concatenate([world.table, row])
    world.place = np.concatenate([world.place, np.asarray(position, np.float64).reshape(1, 3)])
    world.rel = np.concatenate([world.rel, np.zeros((1, 6))])
    world.motion = np.concatenate([world.motion, np.zeros((1, 3))])
    refresh(world, len(world.table) - 1)
    return len(world.table)


def refresh(world: World, row: int) -> None:
    """Recomputes what follows from an instance's kind, facing and state: its box, and whether it holds a body."""
    t = world.table[row]
    sort = SORTS[t[KIND]]
    # A creature's box does not turn with it, so that turning never pushes it into a wall.
    world.rel[row] = _box(int(t[KIND]), 0 if sort.alive else int(t[FACING]), int(t[STATE]))
    opened = sort.name == "door" and bool(t[STATE])
    t[SOLID] = int(sort.solid and not opened and t[EXISTS] == 1 and t[HELD] == 0)
    t[GRAVITY] = 2 if sort.alive else 1 if sort.carried else 0
    t[HOSTILE] = int(sort.hostile)
    if sort.alive and t[HEALTH] == 0:
        t[HEALTH] = 3


def switch(world: World, row: int, value: bool) -> None:
    """Sets the one attribute that an instance has, and what it is linked to."""
    world.table[row, STATE] = int(value)
    refresh(world, row)
    link = int(world.table[row, LINK])
    if link and link - 1 != row:
        world.table[link - 1, STATE] = int(value)
        refresh(world, link - 1)


def box_of(world: World, row: int) -> NDArray[np.float64]:
    """(6,) float64: the box of an instance, metres."""
    return np.concatenate([world.place[row] + world.rel[row, :3], world.place[row] + world.rel[row, 3:]])


def row_of(world: World, object_id: int) -> int:
    """The row of an instance. Raises ConfigError if there is none."""
    if not 1 <= object_id <= len(world.table):
        raise ConfigError(f"this world has the instances 1..{len(world.table)}, got object_id {object_id}")
    return int(object_id) - 1


class Drawing:
    """The cuboids of all instances, kept between frames: only what changed is built anew."""

    def __init__(self) -> None:
        self._key = b""
        self._rows = np.zeros((0, 9))
        self._owner = np.zeros(0, np.intp)

    def boxes(self, world: World) -> NDArray[np.float64]:
        """(M, 9) float64 rows as `render.render_view` takes them."""
        key = world.table.tobytes()
        if key != self._key:
            self._key = key
            drawn = [(i, t) for i, t in enumerate(world.table) if t[EXISTS] and not t[HELD]]
            parts = [_parts(int(t[KIND]), int(t[COLOUR]), int(t[FACING]), int(t[STATE])) for _, t in drawn]
            self._owner = np.repeat([i for i, _ in drawn], [len(p) for p in parts]).astype(np.intp)
            self._rows = np.ones((len(self._owner), 9))
            if parts:
                self._rows[:, :7] = np.concatenate(parts)
            self._rows[:, 7] = self._owner + 1
        rows = self._rows.copy()
        rows[:, :3] += world.place[self._owner]
        rows[:, 3:6] += world.place[self._owner]
        return rows


@cache
def _parts(sort: int, colour: int, facing: int, state: int) -> NDArray[np.float64]:
    """(P, 7) float64, see `shapes.object_boxes`."""
    s = SORTS[sort]
    return object_boxes(
        s.name, COLOURS[colour] if s.coloured else "", facing, {s.state: bool(state)} if s.state else {}
    )


@cache
def _box(sort: int, facing: int, state: int) -> NDArray[np.float64]:
    """(6,) float64: the box that holds bodies and stops rays, around what is drawn; creatures have a square one."""
    box = bounds(_parts(sort, 0, facing, state))
    half = SORTS[sort].half_width
    if half:
        box[[0, 2, 3, 5]] = -half, -half, half, half
    return box


def object_states(world: World, visible: NDArray[np.int64]) -> tuple[ObjectState, ...]:
    """All instances as the truth tells them; `visible` is the number of pixels by id."""
    out = []
    place, rel = world.place, world.rel
    centres = place + (rel[:, :3] + rel[:, 3:]) / 2
    sizes = rel[:, 3:] - rel[:, :3]
    for i, t in enumerate(world.table.tolist()):
        sort = SORTS[t[KIND]]
        attributes: dict[str, Any] = {"facing": t[FACING]}
        colour = COLOURS[t[COLOUR]] if sort.coloured else ""
        if colour:
            attributes["colour"] = colour
        if sort.state:
            attributes[sort.state] = bool(t[STATE])
        if sort.carried:
            attributes["held"] = bool(t[HELD])
        if t[LINK]:
            attributes["linked_to"] = t[LINK]
        if sort.alive:
            attributes["health"] = t[HEALTH]
        out.append(
            ObjectState(
                id=i + 1,
                kind=f"{colour}_{sort.name}" if colour else sort.name,
                position=centres[i],
                size=sizes[i],
                exists=bool(t[EXISTS]),
                visible_px=int(visible[i + 1]),
                attributes=attributes,
            )
        )
    return tuple(out)


def quarter(yaw: float) -> int:
    """The facing nearest to a yaw in degrees."""
    return round(yaw / 90.0) % 4


def distance(world: World, row: int) -> float:
    """Metres along the ground from the body to an instance."""
    return math.hypot(world.place[row, 0] - world.body[0], world.place[row, 2] - world.body[2])
