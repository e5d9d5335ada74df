"""Changing one fact of a world, for counterfactuals: each edit becomes commands of the console.

They are carried out in the last tic of the last step, by playing the history again, so that they take no time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from worldsim.envs.doom.camera import MAX_PITCH
from worldsim.envs.doom.facts import Fact
from worldsim.envs.doom.game import Game
from worldsim.envs.doom.kinds import COLOURS, KINDS, kind_of
from worldsim.envs.doom.layout import Layout
from worldsim.envs.doom.units import BODY
from worldsim.errors import ConfigError, UnsupportedError, nearest
from worldsim.truth import (
    AddObject,
    Edit,
    MoveObject,
    ObjectState,
    RecolourObject,
    RemoveObject,
    ReplaceObject,
    SetObjectState,
    SetPose,
    StopProcess,
)

PROCESSES: Final = ("gate", "all")
_FLOOR: Final = 0.5  # metres: things stand on the floor, at height 0; what was asked for may be that far off

Changes = list[dict[str, Any]]


def changes_for(game: Game, objects: tuple[ObjectState, ...], change: Edit) -> Changes:
    """The changes, as in `History.changes` without their time, that make an edit true.

    Args:
        game: As it is now.
        objects: The instances as they are now.
        change: The edit.

    Raises:
        UnsupportedError: For an edit that Doom does not know.
        ConfigError: If it does not fit this world.
    """
    name = type(change).__name__
    if name not in _MAKERS:
        raise UnsupportedError(f"Doom knows the edits {', '.join(sorted(_MAKERS))}, got {name}")
    return _MAKERS[name](game, {o.id: o for o in objects}, change)


def check_made(before: Mapping[int, Fact], after: Mapping[int, Fact], changes: Changes) -> None:
    """Raises ConfigError if the engine did not do what was asked: a place was taken."""
    for change in changes:
        if change["do"] == "spawn" and not after[change["id"]][0]:
            raise ConfigError(
                f"a {change['kind']} cannot stand at x {change['x']:.2f}, z {change['z']:.2f}: it is taken"
            )
        if change["do"] == "remove" and after[change["id"]][0] and not _made_again(change, changes):
            raise ConfigError(f"instance {change['id']} was not removed")


def _made_again(change: dict[str, Any], changes: Changes) -> bool:
    return any(other["do"] == "spawn" and other["id"] == change["id"] for other in changes)


def _thing(game: Game, objects: Mapping[int, ObjectState], object_id: int) -> ObjectState:
    """An instance that can be removed, moved or changed: not a door, not a switch."""
    found = objects.get(object_id)
    if found is None or object_id not in game.items:
        known = ", ".join(f"{i} {game.items[i].kind}" for i in sorted(game.items))
        raise ConfigError(f"no thing has the id {object_id}; there is {known}. Doors and switches stay where they are.")
    return found


def _remove(game: Game, objects: Mapping[int, ObjectState], change: RemoveObject) -> Changes:
    found = _thing(game, objects, change.object_id)
    return [{"do": "remove", "id": found.id}] if found.exists else []


def _add(game: Game, objects: Mapping[int, ObjectState], change: AddObject) -> Changes:
    x, z = _place(game.layout, change.kind, change.position)
    return [{"do": "spawn", "id": max(objects) + 1, "kind": kind_of(change.kind).name, "x": x, "z": z}]


def _move(game: Game, objects: Mapping[int, ObjectState], change: MoveObject) -> Changes:
    found = _thing(game, objects, change.object_id)
    x, z = _place(game.layout, found.kind, change.position)
    return [*_gone(found), {"do": "spawn", "id": found.id, "kind": found.kind, "x": x, "z": z}]


def _recolour(game: Game, objects: Mapping[int, ObjectState], change: RecolourObject) -> Changes:
    found = _thing(game, objects, change.object_id)
    if not KINDS[found.kind].colour:
        raise ConfigError(f"instance {found.id} is a {found.kind}, which has no colour to change")
    if change.colour not in COLOURS:
        raise ConfigError(f"colours are {', '.join(COLOURS)}, got {change.colour!r}.{nearest(change.colour, COLOURS)}")
    return _become(found, f"{change.colour}_{found.kind.split('_')[1]}")


def _replace(game: Game, objects: Mapping[int, ObjectState], change: ReplaceObject) -> Changes:
    found = _thing(game, objects, change.object_id)
    return _become(found, kind_of(change.kind).name)


def _gone(found: ObjectState) -> Changes:
    return [{"do": "remove", "id": found.id}] if found.exists else []


def _become(found: ObjectState, kind: str) -> Changes:
    x, z = float(found.position[0]), float(found.position[2])
    return [*_gone(found), {"do": "spawn", "id": found.id, "kind": kind, "x": x, "z": z}]


def _set_state(game: Game, objects: Mapping[int, ObjectState], change: SetObjectState) -> Changes:
    value = bool(change.value)
    for tag, door in enumerate(game.layout.doors, 1):
        if door.id == change.object_id and change.attribute == "open":
            return [{"do": "door", "tag": tag, "value": value}]
        if door.id == change.object_id and change.attribute == "moving" and door.kind == "gate":
            return [{"do": "gate", "tag": tag, "value": value}]
    for index, switch in enumerate(game.layout.switches):
        if switch.id == change.object_id and change.attribute == "on":
            return [{"do": "switch", "index": index, "value": value}]
    found = _thing(game, objects, change.object_id)
    if change.attribute == "colour":
        return _recolour(game, objects, RecolourObject(object_id=found.id, colour=str(change.value)))
    raise ConfigError(
        f"instance {change.object_id} has no attribute {change.attribute!r} to set: doors have 'open', gates "
        "'open' and 'moving', switches 'on', props 'colour'"
    )


def _stop(game: Game, objects: Mapping[int, ObjectState], change: StopProcess) -> Changes:
    if change.process not in PROCESSES:
        raise ConfigError(f"processes of Doom are {', '.join(PROCESSES)}, got {change.process!r}")
    return [
        {"do": "gate", "tag": tag, "value": False} for tag, d in enumerate(game.layout.doors, 1) if d.kind == "gate"
    ]


def _set_pose(game: Game, objects: Mapping[int, ObjectState], change: SetPose) -> Changes:
    if not all(map(math.isfinite, (*change.position, change.yaw, change.pitch))) or abs(change.pitch) > MAX_PITCH:
        raise ConfigError(f"a pose is finite, with a pitch within {MAX_PITCH:g} degrees, got {change}")
    x, z = _inside(game.layout, change.position, BODY)
    return [{"do": "pose", "x": x, "z": z, "yaw": float(change.yaw), "pitch": float(change.pitch)}]


def _place(layout: Layout, kind: str, position: tuple[float, float, float]) -> tuple[float, float]:
    return _inside(layout, position, kind_of(kind).size[0] / 2 if kind_of(kind).solid else 0.1)


def _inside(layout: Layout, position: tuple[float, float, float], radius: float) -> tuple[float, float]:
    """(x, z) of a place where a square of that radius lies on open floor; the engine looks at things only."""
    x, y, z = (float(v) for v in position)
    if not all(map(math.isfinite, (x, y, z))) or abs(y) > _FLOOR:
        raise ConfigError(f"things stand on the floor, at height 0, got position {(x, y, z)}")
    size = layout.cells.shape
    for dx in (-radius, radius):
        for dz in (-radius, radius):
            i, k = math.floor(x + dx), math.floor(z + dz)
            if not (0 <= i < size[0] and 0 <= k < size[1]) or layout.cells[i, k] < 0:
                raise ConfigError(f"there is a wall at {(x, y, z)}, or nothing at all")
            if layout.sectors[layout.cells[i, k]].tag:
                raise ConfigError(f"{(x, y, z)} is in a doorway, which stays free")
    return x, z


_MAKERS: Final[Mapping[str, Callable[[Game, Mapping[int, ObjectState], Any], Changes]]] = {
    "RemoveObject": _remove,
    "AddObject": _add,
    "MoveObject": _move,
    "RecolourObject": _recolour,
    "ReplaceObject": _replace,
    "SetObjectState": _set_state,
    "StopProcess": _stop,
    "SetPose": _set_pose,
}
NAMES: Final = frozenset(_MAKERS)
