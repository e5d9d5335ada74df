"""What the body does to the world: break, place, open, toggle, pick up, put down.

`attack` and `use` act in the step in which they are pressed, then again every `AGAIN` steps while they are held
(Minecraft's creative mode: 5 and 4). Blocks break at once, whatever they are made of.

`use` with empty arms on a door, a lever or a chest opens or toggles it; on a crate or a gem, or on a chest while
sneaking, it picks it up. With something in the arms `use` puts it into the cell in view, and `drop` on the floor ahead.
Else `use` places a block of the hotbar.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from worldsim.envs.blocks import objects
from worldsim.envs.blocks.camera import EYE_HEIGHT
from worldsim.envs.blocks.kinds import AIR, BREAKABLE, LIQUID, NAMES, REPLACEABLE, SOLID
from worldsim.envs.blocks.objects import SORTS, kind_name
from worldsim.envs.blocks.physics import (
    ATTACK_WAIT,
    CARRIED,
    EXISTS,
    FACING,
    HEALTH,
    HELD,
    KIND,
    LINK,
    SLOT,
    SNEAK,
    STATE,
    USE_WAIT,
    body_box,
    overlaps,
    raycast,
)
from worldsim.envs.blocks.physics import SOLID as SOLID_COLUMN
from worldsim.envs.blocks.state import World
from worldsim.truth import Event

REACH: Final = 5.0  # metres, from the eye
AGAIN: Final = 5  # steps
SNEAK_EYE: Final = 1.54  # metres, Minecraft's before 1.14
TARGETS: Final = np.array([k != AIR and not LIQUID[k] for k in range(len(LIQUID))])


def eye(world: World) -> tuple[float, float, float]:
    """Where the camera is, metres."""
    x, y, z = world.body[:3].tolist()
    return x, y + (SNEAK_EYE if world.flags[SNEAK] else EYE_HEIGHT), z


def look(world: World) -> np.ndarray[Any, Any]:
    """(3,) float64 unit vector along the camera's z axis."""
    yaw, pitch = math.radians(world.body[6]), math.radians(world.body[7])
    return np.array([-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)])


def aim(world: World, reach: float = REACH) -> tuple[int, list[int]]:
    """What stands in the middle of the frame: (0 nothing | 1 cell | 2 object, [x y z nx ny nz row]), see `raycast`."""
    hit = np.zeros(7, np.int64)
    found = raycast(
        world.cells, TARGETS, world.place, world.rel, world.table, np.array(eye(world)), look(world), reach, hit
    )
    return int(found), hit.tolist()


def act(world: World, keys: Mapping[str, Any]) -> None:
    """Does what the keys ask for, and appends to `world.events`.

    Args:
        world: Changed in place.
        keys: "hotbar" 0 or 1..9, "attack", "use", "drop": pressed or not.
    """
    flags = world.flags
    if keys["hotbar"]:
        flags[SLOT] = keys["hotbar"] - 1
    for name, column, deed in (("attack", ATTACK_WAIT, _attack), ("use", USE_WAIT, _use)):
        if not keys[name]:
            flags[column] = 0
        elif flags[column] > 0:
            flags[column] -= 1
        else:
            flags[column] = AGAIN - 1
            deed(world)
    if keys["drop"] and flags[CARRIED]:
        _drop(world)


def _note(world: World, event: str, row: int = -1, at: Any = None, **details: Any) -> None:
    position = None if at is None else (float(at[0]), float(at[1]), float(at[2]))
    world.events.append(Event(kind=event, object_id=row + 1, position=position, details=details))


def _attack(world: World) -> None:
    found, (x, y, z, *_, row) = aim(world)
    if found == 1:
        kind = int(world.cells[x, z, y])
        if BREAKABLE[kind]:
            world.set(x, y, z, AIR)
            _note(world, "break", at=(x, y, z), kind=NAMES[kind])
    elif found == 2 and SORTS[world.table[row, KIND]].alive:
        world.table[row, HEALTH] -= 1
        way = look(world)
        world.motion[row, 0] = 0.25  # thrown back: up, and away from the body
        world.motion[row, 1] = math.atan2(-way[0], way[2])
        gone = world.table[row, HEALTH] <= 0
        if gone:
            world.table[row, [EXISTS, SOLID_COLUMN]] = 0
        _note(world, "defeat" if gone else "hit", row, world.place[row])


def _use(world: World) -> None:
    found, (x, y, z, nx, ny, nz, row) = aim(world)
    if found == 2 and not world.flags[CARRIED] and _use_object(world, row):
        return
    if found == 0:
        return
    target = (x, y, z)
    if found == 2 or not REPLACEABLE[world.cells[x, z, y]]:
        target = (x + nx, y + ny, z + nz)
    if world.flags[CARRIED]:
        _put(world, target)
    elif found == 1:
        _place(world, target)


def _use_object(world: World, row: int) -> bool:
    """Opens, toggles or picks up; False if the instance does nothing."""
    t = world.table[row]
    sort = SORTS[t[KIND]]
    if sort.carried and (sort.state == "" or world.flags[SNEAK]):
        t[HELD] = 1
        objects.refresh(world, row)
        world.flags[CARRIED] = row + 1
        _note(world, "pick_up", row, world.place[row], kind=kind_name(world, row))
        return True
    if sort.name == "lamp" or not sort.state:
        return False
    value = not t[STATE]
    if sort.name == "door" and not value and _would_hit(world, row):
        return True  # somebody stands in the way: it stays open
    objects.switch(world, row, value)
    kind = "toggle" if sort.name == "lever" else "open" if value else "close"
    _note(world, kind, row, world.place[row], value=bool(value), **({"linked_to": int(t[LINK])} if t[LINK] else {}))
    return True


def _would_hit(world: World, row: int) -> bool:
    """Whether the closed door would stand in the body or in a creature."""
    t = world.table[row]
    t[STATE] = 0
    objects.refresh(world, row)
    closed = objects.box_of(world, row)
    t[STATE] = 1
    objects.refresh(world, row)
    return _taken(world, closed, solids(world, alive=True))


def _taken(world: World, box: Any, rows: Iterable[int]) -> bool:
    """Whether the body or one of the instances is in a box (6,)."""
    return overlaps(body_box(world.body), box) or any(overlaps(objects.box_of(world, int(i)), box) for i in rows)


def solids(world: World, *, alive: bool = False) -> list[int]:
    """Rows of the instances that hold a body; `alive`: creatures only."""
    rows = np.flatnonzero(world.table[:, SOLID_COLUMN])
    return [int(i) for i in rows if not alive or SORTS[world.table[i, KIND]].alive]


def is_free(world: World, x: int, y: int, z: int) -> bool:
    """Whether a block could be placed into a cell: nobody and nothing is there."""
    if not world.inside(x, y, z) or not REPLACEABLE[world.cells[x, z, y]]:
        return False
    cell = np.array([x, y, z, x + 1, y + 1, z + 1], np.float64)
    existing = np.flatnonzero((world.table[:, EXISTS] == 1) & (world.table[:, HELD] == 0))
    return not _taken(world, cell, existing)


def _place(world: World, target: tuple[int, int, int]) -> None:
    kind = int(world.hotbar[world.flags[SLOT]])
    if kind == AIR or not is_free(world, *target):
        return
    world.set(*target, kind)
    _note(world, "place", at=target, kind=NAMES[kind])


def _put(world: World, target: tuple[int, int, int]) -> None:
    """Puts the carried thing into a cell, if it is free."""
    if is_free(world, *target):
        _set_down(world, np.array([target[0] + 0.5, float(target[1]), target[2] + 0.5]))


def _drop(world: World) -> None:
    """Puts the carried thing down ahead, at arm's length or nearer; keeps it where nothing is free."""
    x, y, z = world.body[:3]
    yaw = math.radians(world.body[6])
    for arm in (1.2, 1.0, 0.8):
        for up in (0, 1):
            at = np.array([x - math.sin(yaw) * arm, math.floor(y + 0.5) + up, z + math.cos(yaw) * arm])
            if _fits(world, at):
                _set_down(world, at)
                return


def _fits(world: World, base: Any) -> bool:
    row = int(world.flags[CARRIED]) - 1
    box = world.rel[row] + np.tile(base, 2)
    low, high = np.floor(box[:3] + 1e-6).astype(int), np.floor(box[3:] - 1e-6).astype(int)
    for i in range(low[0], high[0] + 1):
        for j in range(low[1], high[1] + 1):
            for k in range(low[2], high[2] + 1):
                if not world.inside(i, j, k) or SOLID[world.cells[i, k, j]]:
                    return False
    return not _taken(world, box, solids(world))


def _set_down(world: World, base: Any) -> None:
    row = int(world.flags[CARRIED]) - 1
    world.place[row] = base
    world.motion[row] = 0.0
    world.table[row, HELD] = 0
    world.table[row, FACING] = objects.quarter(float(world.body[6]) + 180.0)  # its front to the body
    world.flags[CARRIED] = 0
    objects.refresh(world, row)
    _note(world, "drop", row, base, kind=kind_name(world, row))
