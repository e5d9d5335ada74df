"""What is true now, read from the engine: which things are there, which doors are open; and what has just changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.doom import scripts
from worldsim.envs.doom.game import Game
from worldsim.envs.doom.kinds import KINDS
from worldsim.envs.doom.layout import HEIGHT
from worldsim.envs.doom.units import UNITS, to_metres
from worldsim.truth import Event, ObjectState

_FULL: Final = HEIGHT * UNITS

#: Of one instance: whether it exists, and its attributes.
Fact: TypeAlias = tuple[bool, dict[str, Any]]


def objects_of(game: Game, visible: NDArray[np.int64]) -> tuple[ObjectState, ...]:
    """All instances, those in view or not.

    Args:
        game: With a reading.
        visible: (ids + 1,) pixels of each id in the frame.
    """
    facts = facts_of(game)
    layout, out = game.layout, []
    for door in layout.doors:
        cells = np.array(door.cells, np.float64)
        low, high = cells.min(0), cells.max(0) + 1
        size = np.array([high[0] - low[0], HEIGHT, high[1] - low[1]])
        centre = np.array([(low[0] + high[0]) / 2, HEIGHT / 2, (low[1] + high[1]) / 2])
        out.append(_object(door.id, door.kind, centre, size, facts, visible))
    for switch in layout.switches:
        centre = np.array([switch.cell[0] + 0.5, HEIGHT / 2, switch.cell[1] + 0.5])
        out.append(_object(switch.id, "switch", centre, np.array([1.0, HEIGHT, 1.0]), facts, visible))
    places = {game.numbers[t.number]: t.place for t in game.reading.things if t.number in game.numbers}
    for item in game.items.values():
        width, height = KINDS[item.kind].size
        base = to_metres(*places[item.id]) if item.id in places else np.array([item.place[0], 0.0, item.place[1]])
        centre = base + np.array([0.0, height / 2, 0.0])
        out.append(_object(item.id, item.kind, centre, np.array([width, height, width]), facts, visible))
    return tuple(out)


def _object(
    id_: int,
    kind: str,
    centre: NDArray[np.float64],
    size: NDArray[np.float64],
    facts: Mapping[int, Fact],
    visible: NDArray[np.int64],
) -> ObjectState:
    exists, attributes = facts[id_]
    pixels = int(visible[id_]) if id_ < len(visible) else 0
    return ObjectState(
        id=id_, kind=kind, position=centre, size=size, exists=exists, visible_px=pixels, attributes=attributes
    )


def facts_of(game: Game) -> dict[int, Fact]:
    """What is true of each instance."""
    reading, layout = game.reading, game.layout
    facts: dict[int, Fact] = {}
    for tag, door in enumerate(layout.doors, 1):
        variable = bool(reading.variables[tag - 1])
        ceiling = reading.ceilings[door.sector]
        if door.kind == "gate":
            facts[door.id] = (True, {"moving": variable, "open": ceiling >= _FULL})
        else:
            facts[door.id] = (True, {"open": variable})
    for index, switch in enumerate(layout.switches):
        facts[switch.id] = (True, {"on": bool(reading.variables[scripts.variable_of(layout, index) - 1])})
    alive = {game.numbers[t.number]: not t.dead for t in reading.things if t.number in game.numbers}
    for item in game.items.values():
        kind = KINDS[item.kind]
        attributes: dict[str, Any] = {"colour": kind.colour} if kind.colour else {}
        if kind.living:
            attributes["alive"] = alive.get(item.id, False)
        facts[item.id] = (item.id in alive, attributes)
    return facts


def events_between(game: Game, before: Mapping[int, Fact], after: Mapping[int, Fact]) -> tuple[Event, ...]:
    """What happened in a step: "pick_up", "kill", "open", "close", "toggle", "start", "stop".

    That a gate has come to the top is none of them: it goes up by itself, and "open" is what a hand or a switch does.
    """
    events = []
    for id_, (exists, now) in after.items():
        existed, was = before.get(id_, (exists, now))
        kind = None
        if existed and not exists:
            kind = "pick_up"
        elif was.get("alive", False) and not now.get("alive", True):
            kind = "kill"
        elif "moving" in now and was["moving"] != now["moving"]:
            kind = "start" if now["moving"] else "stop"
        elif "open" in now and "moving" not in now and was["open"] != now["open"]:
            kind = "open" if now["open"] else "close"
        elif "on" in now and was["on"] != now["on"]:
            kind = "toggle"
        if kind is not None:
            item = game.items.get(id_)
            place = None if item is None else (item.place[0], 0.0, item.place[1])
            events.append(Event(kind=kind, object_id=id_, position=place))
    return tuple(events)
