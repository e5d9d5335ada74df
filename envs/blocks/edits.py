"""Changing one fact of a world, for counterfactuals: every edit of `worldsim.truth`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from worldsim.envs.blocks import objects
from worldsim.envs.blocks.kinds import COLOURS, cell_id
from worldsim.envs.blocks.objects import SORTS, row_of
from worldsim.envs.blocks.physics import (
    CARRIED,
    COLOUR,
    CREATURES,
    CROP,
    DAYLIGHT,
    EXISTS,
    FLOW,
    HEALTH,
    HELD,
    KIND,
    SAND,
    STATE,
    STOPPED,
)
from worldsim.envs.blocks.state import World
from worldsim.errors import ConfigError, UnsupportedError, nearest
from worldsim.truth import (
    AddObject,
    Edit,
    MoveObject,
    RecolourObject,
    RemoveObject,
    ReplaceObject,
    SetCell,
    SetObjectState,
    SetPose,
    SetTime,
    StopProcess,
)

PROCESSES: Final[Mapping[str, int]] = {
    "crop": CROP,
    "sand": SAND,
    "water": FLOW,
    "creatures": CREATURES,
    "daylight": DAYLIGHT,
    "all": CROP | SAND | FLOW | CREATURES | DAYLIGHT,
}


#: Cells that water set by an edit flows on, like a spring's.
SPRING: Final = 4


def apply(world: World, change: Edit) -> None:
    """Makes one edit, in place. Objects that a lever is linked to follow it, loose cells near a changed one wake up.

    Raises:
        UnsupportedError: If it is none of the edits of `worldsim.truth`.
        ConfigError: If it does not fit this world.
    """
    name = type(change).__name__
    if name not in _EDITS:
        raise UnsupportedError(f"Blocks knows the edits {', '.join(sorted(_EDITS))}, got {name}")
    _EDITS[name](world, change)


def _let_go(world: World, row: int) -> None:
    if world.flags[CARRIED] == row + 1:
        world.flags[CARRIED] = 0
    world.table[row, HELD] = 0


def _remove(world: World, change: RemoveObject) -> None:
    row = row_of(world, change.object_id)
    _let_go(world, row)
    world.table[row, EXISTS] = 0
    objects.refresh(world, row)


def _add(world: World, change: AddObject) -> None:
    objects.add(world, change.kind, _inside(world, change.position))


def _move(world: World, change: MoveObject) -> None:
    row = row_of(world, change.object_id)
    place = _inside(world, change.position)
    _let_go(world, row)
    world.table[row, EXISTS] = 1
    world.place[row], world.motion[row, 0] = place, 0.0
    objects.refresh(world, row)


def _recolour(world: World, change: RecolourObject) -> None:
    row = row_of(world, change.object_id)
    sort = SORTS[world.table[row, KIND]]
    if not sort.coloured:
        raise ConfigError(f"instance {change.object_id} is a {sort.name}, which has no colour to change")
    if change.colour not in COLOURS:
        raise ConfigError(f"colours are {', '.join(COLOURS)}, got {change.colour!r}.{nearest(change.colour, COLOURS)}")
    world.table[row, COLOUR] = COLOURS.index(change.colour)


def _replace(world: World, change: ReplaceObject) -> None:
    row = row_of(world, change.object_id)
    kind, colour = objects.split_kind(change.kind)
    world.table[row, [KIND, COLOUR, STATE, HEALTH]] = kind, colour, 0, 0
    objects.refresh(world, row)


def _set_state(world: World, change: SetObjectState) -> None:
    row = row_of(world, change.object_id)
    sort = SORTS[world.table[row, KIND]]
    if change.attribute == "colour" and sort.coloured:
        _recolour(world, RecolourObject(object_id=change.object_id, colour=str(change.value)))
        return
    if not sort.state or change.attribute != sort.state:
        known = [a for a in (sort.state, "colour" if sort.coloured else "") if a]
        raise ConfigError(
            f"instance {change.object_id} is a {sort.name} with {' and '.join(known) or 'no attribute'} to set, "
            f"got {change.attribute!r}"
        )
    objects.switch(world, row, bool(change.value))


def _set_cell(world: World, change: SetCell) -> None:
    kind = cell_id(change.kind)
    x, y, z = (int(v) for v in change.position)
    if not world.inside(x, y, z):
        nx, nz, ny = world.cells.shape
        raise ConfigError(f"cells are (0..{nx - 1}, 0..{ny - 1}, 0..{nz - 1}), got {(x, y, z)}")
    world.set(x, y, z, kind, reach=SPRING)


def _set_time(world: World, change: SetTime) -> None:
    if not 0.0 <= float(change.hour) <= 24.0:
        raise ConfigError(f"SetTime.hour must be 0..24, got {change.hour}")
    world.hour = float(change.hour) % 24.0


def _stop(world: World, change: StopProcess) -> None:
    if change.process not in PROCESSES:
        raise ConfigError(
            f"processes are {', '.join(PROCESSES)}, got {change.process!r}.{nearest(change.process, PROCESSES)}"
        )
    world.flags[STOPPED] |= PROCESSES[change.process]


def _set_pose(world: World, change: SetPose) -> None:
    world.body[:3] = _inside(world, change.position)
    world.body[3:6] = 0.0
    world.body[6] = (float(change.yaw) + 180.0) % 360.0 - 180.0
    world.body[7] = min(max(float(change.pitch), -90.0), 90.0)


def _inside(world: World, position: tuple[float, float, float]) -> Any:
    place = np.asarray(position, np.float64)
    nx, nz, ny = world.cells.shape
    if place.shape != (3,) or not np.isfinite(place).all() or (place < 0).any() or (place > (nx, ny + 8, nz)).any():
        raise ConfigError(f"positions are (x, y, z) within (0..{nx}, 0..{ny + 8}, 0..{nz}) metres, got {position}")
    return place


_EDITS: Final[Mapping[str, Callable[[World, Any], None]]] = {
    "RemoveObject": _remove,
    "AddObject": _add,
    "MoveObject": _move,
    "RecolourObject": _recolour,
    "ReplaceObject": _replace,
    "SetObjectState": _set_state,
    "SetCell": _set_cell,
    "SetTime": _set_time,
    "StopProcess": _stop,
    "SetPose": _set_pose,
}
NAMES: Final = frozenset(_EDITS)
